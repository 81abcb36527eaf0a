"""The learner of a SafeDreamer agent.

Its update is a pure function from state, replay batch and key to the next state.

Order of one update (docs/concepts/safedreamer.md#order-of-an-update): world model -> actor on an
imagined batch -> reward critic -> cost critic on the same batch. Variants are values of the
configuration; choices are resolved when the update is traced.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.checks import count_nonfinite
from agents.lagrangian import (
    AugmentedState,
    PIDState,
    grow_penalty,
    init_augmented,
    init_pid,
    update_augmented,
)
from agents.nn.params import Params, copied, graphs_of, merge
from agents.nn.residuals import Residuals
from agents.optimizers import gradient_step, init_optimizers, make_optimizer
from agents.returns import ReturnNormState, discount_weights, init_return_norm, update_return_norm
from agents.safedreamer.actor_critic import critic_loss, update_slow
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.imagine import Trajectory, imagine
from agents.safedreamer.model_loss import ModelOutput, fresh_residuals, model_loss
from agents.safedreamer.networks import Networks, build, init_params
from agents.safedreamer.objectives import (
    ActorTerms,
    Returns,
    actor_loss,
    imagined_returns,
    with_gradient,
)
from agents.safedreamer.tracking import Belief
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
    """Graphs, optimisers and the update of one configuration.

    Stateless; see `AgentState`.
    """

    def __init__(self, config: SafeDreamerConfig, env: EnvSpec):
        self.config, self.env = config, env
        self.graphs = graphs_of(partial(build, config, env))
        self.optimizers = Networks(
            make_optimizer(config.model.optimizer),
            make_optimizer(config.actor.optimizer),
            make_optimizer(config.critic.optimizer),
            make_optimizer(config.critic.optimizer),
        )

    def init(self, key: jax.Array) -> AgentState:
        """Initial learner state."""
        return self.fresh_state(init_params(self.config, self.env, key))

    def fresh_state(self, params: Networks) -> AgentState:
        """Initial learner state for given parameters; slow critics start as copies."""
        return AgentState(
            params,
            copied(params.critic),
            copied(params.cost_critic),
            init_optimizers(self.optimizers, params),
            init_return_norm(),
            init_augmented(self.config.augmented),
            init_pid(self.config.pid),
            jnp.zeros((), jnp.int32),
            fresh_residuals(self.config.model, self.env.obs),
        )

    def update(
        self, state: AgentState, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One update on a replay batch [B, T, ...]: the next state and metrics (scalars)."""
        model_key, start_key, imagine_key = jax.random.split(key, 3)

        def loss_model(p):
            return model_loss(nnx.merge(self.graphs.model, p), batch, model_key, state.residuals)

        grads, output = jax.grad(loss_model, has_aux=True)(state.params.model)
        state, norm = gradient_step(self.optimizers, state, "model", grads)
        metrics = output.metrics | {"model/grad_norm": norm}

        start, start_cont = self.starts(output, batch, start_key)
        state, traj, objective, found = self._actor_step(state, start, start_cont, imagine_key)
        metrics |= found
        view = traj.view[:-1]
        weight = discount_weights(traj.cont, self.config.imagination.discount)[:-1]
        for name, returns in (("critic", objective.rewards), ("cost_critic", objective.costs)):
            if returns is not None:
                state, found = self._critic_step(name, state, view, returns.ret, weight)
                metrics |= found
        if self.config.uses_pid:
            metrics["pid/multiplier"] = state.pid.multiplier
        metrics["nonfinite"] = count_nonfinite(metrics)
        return state._replace(updates=state.updates + 1, residuals=output.residuals), metrics

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

    def _actor_step(
        self, state: AgentState, start: Belief, start_cont: jax.Array, key: jax.Array
    ) -> tuple[AgentState, Trajectory, Objective, dict[str, jax.Array]]:
        """Update the actor, the normaliser and the augmented Lagrangian.

        Returns the next state, the imagined batch that the critics fit too, and metrics.
        """
        config, params = self.config, state.params

        def loss(actor_params):
            nets = merge(self.graphs, params._replace(actor=actor_params))
            horizon = config.imagination.horizon
            traj = imagine(nets.model, nets.actor, start, start_cont, horizon, key)
            objective = self.objective(nets, state, traj)
            return objective.terms.loss, (traj, objective)

        grads, (traj, objective) = jax.grad(loss, has_aux=True)(params.actor)
        rewards, costs, norm, terms = objective
        augmented = self._next_augmented(state.augmented, terms.excess)
        state, grad_norm = gradient_step(self.optimizers, state, "actor", grads)
        metrics = {
            "actor/loss": terms.loss,
            "actor/entropy": terms.entropy.mean(),
            "actor/grad_norm": grad_norm,
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
        if config.actor_multiplier == "augmented":
            metrics |= {
                "augmented/multiplier": augmented.multiplier,
                "augmented/penalty_coefficient": augmented.penalty,
                "augmented/penalty": terms.penalty,
                "augmented/excess": terms.excess,
            }
        return state._replace(return_norm=norm, augmented=augmented), traj, objective, metrics

    def _next_augmented(self, state: AugmentedState, excess: jax.Array) -> AugmentedState:
        """Multiplier and penalty coefficient after an update.

        A multiplier driven by episodes is updated by `SafeDreamer.end_episode` instead.
        """
        if self.config.actor_multiplier != "augmented":
            return state
        if self.config.augmented.driven_by == "episode":
            return grow_penalty(self.config.augmented, state)
        return update_augmented(self.config.augmented, state, excess)

    def _critic_step(self, name: str, state: AgentState, view, target, weight):
        """Update one critic and its slow copy; returns the next state and metrics."""
        graph, slow = getattr(self.graphs, name), getattr(state, f"slow_{name}")
        config = self.config.critic

        def loss(p):
            critic = nnx.merge(graph, p)
            return critic_loss(
                critic, nnx.merge(graph, slow), view, target, weight, config.slow_scale
            )

        value, grads = jax.value_and_grad(loss)(getattr(state.params, name))
        state, norm = gradient_step(self.optimizers, state, name, grads)
        slow = update_slow(slow, getattr(state.params, name), state.updates, config.slow_fraction)
        metrics = {f"{name}/loss": value, f"{name}/grad_norm": norm}
        return state._replace(**{f"slow_{name}": slow}), metrics
