"""The learner of a SafeDreamer agent.

Its update is a pure function from state, replay batch and key to the next state.

Order of one update (docs/concepts/safedreamer.md#order-of-an-update): world model -> actor on an
imagined batch -> reward critic -> cost critic on the same batch. Variants are values of the
configuration; choices are resolved when the update is traced.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from agents.api import ObsSpec
from agents.checks import count_nonfinite
from agents.lagrangian import (
    AugmentedState,
    PIDState,
    grow_penalty,
    init_augmented,
    init_pid,
    update_augmented,
)
from agents.nn.params import Params
from agents.nn.residuals import Residuals
from agents.optimizers import make_optimizer
from agents.returns import ReturnNormState, discount_weights, init_return_norm, update_return_norm
from agents.safedreamer.actor_critic import (
    ActorTerms,
    Returns,
    Trajectory,
    actor_loss,
    critic_loss,
    imagine,
    imagined_returns,
    update_slow,
    with_gradient,
)
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.networks import Networks, merge
from agents.safedreamer.tracking import Belief
from agents.safedreamer.world_model import ModelOutput, fresh_residuals, model_loss
from agents.world_models import draw_starts


class AgentState(NamedTuple):
    """Everything that learning changes; a checkpoint of this pytree is complete."""

    params: Networks
    slow_critic: Params
    slow_cost_critic: Params | None
    optimizers: Networks
    return_norm: ReturnNormState
    augmented: AugmentedState
    pid: PIDState
    updates: jax.Array
    residuals: Residuals | None = None  # for vector_loss residual; None with a plain sum


class Objective(NamedTuple):
    """The actor's loss (`terms`) and its ingredients.

    `costs` is None without predicted costs.
    """

    rewards: Returns
    costs: Returns | None
    norm: ReturnNormState
    terms: ActorTerms


class Learner:
    """Optimisers and the update of one configuration.

    Stateless; see `AgentState`.
    """

    def __init__(self, config: SafeDreamerConfig, graphs: Networks, obs: ObsSpec):
        self.config, self.graphs, self.obs = config, graphs, obs
        self.optimizers = Networks(
            make_optimizer(config.model.optimizer),
            make_optimizer(config.actor.optimizer),
            make_optimizer(config.critic.optimizer),
            make_optimizer(config.critic.optimizer),
        )

    def fresh_state(self, params: Networks) -> AgentState:
        """Initial learner state for given parameters; slow critics start as copies."""
        optimizers = Networks(
            *(
                None if p is None else o.init(p)
                for o, p in zip(self.optimizers, params, strict=True)
            )
        )
        copy = partial(jax.tree.map, jnp.copy)  # donated buffers must not be shared
        return AgentState(
            params,
            copy(params.critic),
            copy(params.cost_critic),
            optimizers,
            init_return_norm(),
            init_augmented(self.config.augmented),
            init_pid(self.config.pid),
            jnp.zeros((), jnp.int32),
            fresh_residuals(self.config.model, self.obs),
        )

    def update(
        self, state: AgentState, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One update on a replay batch [B, T, ...]: the next state and metrics (scalars)."""
        model_key, start_key, imagine_key = jax.random.split(key, 3)
        params, opt = state.params, state.optimizers
        metrics: dict[str, jax.Array] = {}

        def loss_model(p):
            return model_loss(nnx.merge(self.graphs.model, p), batch, model_key, state.residuals)

        grads, output = jax.grad(loss_model, has_aux=True)(params.model)
        metrics |= output.metrics | {"model/grad_norm": optax.tree.norm(grads)}
        new_model, opt_model = self._apply("model", grads, opt.model, params.model)
        params = params._replace(model=new_model)

        start, start_cont = self.starts(output, batch, start_key)
        ac_grads, aux = self._actor_gradients(params, state, start, start_cont, imagine_key)
        new_actor, opt_actor = self._apply("actor", ac_grads, opt.actor, params.actor)
        metrics |= aux["metrics"]

        new_critic, opt_critic, slow, values = self._critic_step(
            "critic", params, state, aux["view"], aux["ret"], aux["weight"]
        )
        metrics |= values
        new_cost, opt_cost, slow_cost = None, None, None
        if self.config.use_cost:
            new_cost, opt_cost, slow_cost, values = self._critic_step(
                "cost_critic", params, state, aux["view"], aux["cost_ret"], aux["weight"]
            )
            metrics |= values
        state = AgentState(
            Networks(new_model, new_actor, new_critic, new_cost),
            slow,
            slow_cost,
            Networks(opt_model, opt_actor, opt_critic, opt_cost),
            aux["norm"],
            aux["augmented"],
            state.pid,
            state.updates + 1,
            output.residuals,
        )
        if self.config.uses_pid:
            metrics["pid/multiplier"] = state.pid.multiplier
        metrics["nonfinite"] = count_nonfinite(metrics)
        return state, metrics

    def _apply(self, name: str, grads: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        updates, opt_state = getattr(self.optimizers, name).update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def starts(
        self, output: ModelOutput, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> tuple[Belief, jax.Array]:
        """Posterior states [N, ...] from which imagination starts, and 1 - is_terminal there."""
        cont = 1.0 - batch["is_terminal"].astype(jnp.float32)
        return draw_starts((output.belief, cont), self.config.imagination.starts, key)

    def objective(self, nets: Networks, state: AgentState, traj: Trajectory) -> Objective:
        """The actor's loss on an imagined trajectory and its ingredients, with the normaliser and
        multiplier of `state`.
        """
        config, imagination = self.config, self.config.imagination
        rewards, costs = imagined_returns(
            nets.model, nets.critic, nets.cost_critic, traj, imagination
        )
        rewards = with_gradient(nets.actor, traj, rewards)
        costs = None if costs is None else with_gradient(nets.actor, traj, costs)
        norm = update_return_norm(state.return_norm, rewards.ret, decay=imagination.norm_decay)
        terms = actor_loss(
            nets.actor,
            traj,
            rewards,
            costs,
            norm,
            state.augmented if config.actor_multiplier == "augmented" else None,
            discount=imagination.discount,
            cost_limit=config.cost_limit,
            pessimistic=config.pessimistic,
            price=state.pid.multiplier if config.actor_multiplier == "pid" else None,
        )
        return Objective(rewards, costs, norm, terms)

    def _actor_gradients(
        self,
        params: Networks,
        state: AgentState,
        start: Belief,
        start_cont: jax.Array,
        key: jax.Array,
    ):
        """Gradients of the actor, and the parts of the imagined batch that the critics need."""
        config, imagination = self.config, self.config.imagination
        constrained = config.actor_multiplier == "augmented"

        def loss(actor_params):
            nets = merge(self.graphs, params._replace(actor=actor_params))
            traj = imagine(nets.model, nets.actor, start, start_cont, imagination.horizon, key)
            objective = self.objective(nets, state, traj)
            return objective.terms.loss, (traj, objective)

        grads, (traj, (rewards, costs, norm, terms)) = jax.grad(loss, has_aux=True)(params.actor)
        augmented = self._next_augmented(state.augmented, terms.excess)
        metrics = {
            "actor/loss": terms.loss,
            "actor/entropy": terms.entropy.mean(),
            "actor/grad_norm": optax.tree.norm(grads),
            "imagined/reward": rewards.reward.mean(),
            "imagined/return": rewards.ret.mean(),
            "imagined/value": rewards.value.mean(),
            "imagined/return_scale": norm.high - norm.low,
        }
        if costs is not None:
            metrics |= {
                "imagined/cost": costs.reward.mean(),
                "imagined/cost_return": costs.ret.mean(),
            }
        if config.actor_multiplier == "pid":
            metrics["pid/penalty"] = terms.penalty
        if constrained:
            metrics |= {
                "augmented/multiplier": augmented.multiplier,
                "augmented/penalty_coefficient": augmented.penalty,
                "augmented/penalty": terms.penalty,
                "augmented/excess": terms.excess,
            }
        aux = {
            "view": traj.view[:-1],
            "weight": discount_weights(traj.cont, imagination.discount)[:-1],
            "ret": rewards.ret,
            "cost_ret": None if costs is None else costs.ret,
            "norm": norm,
            "augmented": augmented,
            "metrics": metrics,
        }
        return grads, aux

    def _next_augmented(self, state: AugmentedState, excess: jax.Array) -> AugmentedState:
        """Multiplier and penalty coefficient after an update.

        A multiplier driven by episodes is updated by `SafeDreamer.end_episode` instead.
        """
        if self.config.actor_multiplier != "augmented":
            return state
        if self.config.augmented.driven_by == "episode":
            return grow_penalty(self.config.augmented, state)
        return update_augmented(self.config.augmented, state, excess)

    def _critic_step(self, name: str, params: Networks, state: AgentState, view, target, weight):
        """Update one critic; returns parameters, optimiser state, slow copy and metrics."""
        graph, slow = getattr(self.graphs, name), getattr(state, f"slow_{name}")
        current = getattr(params, name)

        def loss(p):
            return critic_loss(
                nnx.merge(graph, p),
                nnx.merge(graph, slow),
                view,
                target,
                weight,
                self.config.critic.slow_scale,
            )

        value, grads = jax.value_and_grad(loss)(current)
        new, opt_state = self._apply(name, grads, getattr(state.optimizers, name), current)
        metrics = {f"{name}/loss": value, f"{name}/grad_norm": optax.tree.norm(grads)}
        return (
            new,
            opt_state,
            update_slow(slow, new, state.updates, self.config.critic.slow_fraction),
            metrics,
        )
