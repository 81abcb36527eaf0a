"""The learner of LAMBDA: its update is a pure function of state, replay batch and key.

Order of one update (docs/concepts/lambda.md#order-of-an-update): world model and its posterior
-> actor on imagined batches -> reward critic -> cost critic.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec, PyTree
from agents.checks import count_nonfinite
from agents.lagrangian import AugmentedState, init_augmented, update_augmented
from agents.nn.params import Params, copied, graphs_of, merge, params_of
from agents.optimizers import gradient_step, init_optimizers, make_optimizer
from agents.world_models import after_pretraining, draw_starts
from baselines.lambda_.actor_critic import Actor, Critic, critic_loss
from baselines.lambda_.config import LambdaConfig
from baselines.lambda_.imagine import Trajectories, imagine
from baselines.lambda_.objectives import ActorTerms, Chosen, actor_loss, choose, returns
from baselines.lambda_.rssm import Latent
from baselines.lambda_.swag import SwagState, draw_models, follow, init_swag, triangular_rate
from baselines.lambda_.world_model import WorldModel, model_loss

DYNAMICS = "dynamics"  # part of the world model's parameters that has a posterior


class Networks(NamedTuple):
    """One entry per network: modules, graph definitions, parameters, optimisers or their states."""

    model: Any
    actor: Any
    critic: Any
    cost_critic: Any


class AgentState(NamedTuple):
    """Everything that learning changes; a checkpoint of this pytree is complete."""

    params: Networks
    slow_critic: Params
    slow_cost_critic: Params
    optimizers: Networks
    swag: SwagState
    augmented: AugmentedState
    updates: jax.Array


class Objective(NamedTuple):
    """The actor's loss and its ingredients."""

    terms: ActorTerms
    rewards: Chosen
    costs: Chosen
    trajectories: Trajectories


def build(config: LambdaConfig, env: EnvSpec, rngs: nnx.Rngs) -> Networks:
    """Newly initialised modules for one kind of environment."""
    dtype, feat_dim = jnp.dtype(config.dtype), config.model.feat_dim
    return Networks(
        WorldModel(config.model, env, rngs=rngs, dtype=dtype),
        Actor(feat_dim, env.action_dim, config.actor, rngs=rngs, dtype=dtype),
        Critic(feat_dim, config.critic, rngs=rngs),
        Critic(feat_dim, config.critic, rngs=rngs),
    )


class Learner:
    """Graphs, optimisers and the update of one configuration.

    Stateless; see `AgentState`.
    """

    def __init__(self, config: LambdaConfig, env: EnvSpec):
        self.config, self.env = config, env
        self.graphs = graphs_of(partial(build, config, env))
        self.dynamics_graph = graphs_of(lambda rngs: build(config, env, rngs).model.dynamics)
        self.limit = config.imagined_limit(env.episode_agent_steps)
        imagination = config.imagination
        # discount and lambda of the returns
        self.of_reward = imagination.discount, imagination.lam
        self.of_cost = imagination.cost_discount, imagination.cost_lam
        model = config.model.optimizer
        if config.release.unclipped_model:
            model = dataclasses.replace(model, clip=math.inf)
        self.optimizers = Networks(
            make_optimizer(
                model,
                triangular_rate(model.learning_rate, config.model.low_rate, config.swag.period),
            ),
            make_optimizer(config.actor.optimizer),
            make_optimizer(config.critic.optimizer),
            make_optimizer(config.critic.cost_optimizer),
        )

    def init(self, key: jax.Array) -> AgentState:
        """Initial learner state; target critics start as copies."""
        params = params_of(build(self.config, self.env, nnx.Rngs(key)))
        return AgentState(
            params,
            copied(params.critic),
            copied(params.cost_critic),
            init_optimizers(self.optimizers, params),
            init_swag(self.config.swag, params.model[DYNAMICS]),
            init_augmented(self.config.augmented),
            jnp.zeros((), jnp.int32),
        )

    def update(
        self, state: AgentState, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One update on a replay batch [B, T, ...]: the next state and metrics (scalars)."""
        model_key, start_key, models_key, imagine_key = jax.random.split(key, 4)
        config, updates = self.config, state.updates

        def loss_model(p):
            return model_loss(nnx.merge(self.graphs.model, p), config.model, batch, model_key)

        grads, output = jax.grad(loss_model, has_aux=True)(state.params.model)
        state, norm = gradient_step(self.optimizers, state, "model", grads)
        metrics = output.metrics | {"model/grad_norm": norm}
        dynamics = state.params.model[DYNAMICS]
        biased = config.release.biased_moments
        swag = follow(config.swag, state.swag, dynamics, updates, biased=biased)

        cont = 1.0 - batch["is_terminal"][:, 1:].astype(jnp.float32)
        start, start_cont = draw_starts((output.post, cont), config.imagination.starts, start_key)
        models = draw_models(config.swag, swag, dynamics, updates, models_key)

        def learn(state: AgentState):
            return self._policy_step(state, models, start, start_cont, imagine_key)

        state = state._replace(swag=swag)
        state, policy_metrics = after_pretraining(config.pretrain_updates, state, learn)
        metrics |= policy_metrics | {"swag/snapshots": swag.snapshots.astype(jnp.float32)}
        metrics["nonfinite"] = count_nonfinite(metrics)
        return state._replace(updates=updates + 1), metrics

    def objective(
        self,
        params: Networks,
        augmented: AugmentedState,
        models: PyTree,
        start: Latent,
        start_cont: jax.Array,
        key: jax.Array,
    ) -> Objective:
        """The actor's loss on trajectories from `start` [N, ...] in the `models` (dynamics
        parameters [P, ...]).

        `start_cont` [N] is 1 - is_terminal of the starts.
        """
        config, release = self.config.imagination, self.config.release
        actor, critic, cost_critic = merge(self.graphs[1:], params[1:])
        traj = imagine(
            self.dynamics_graph,
            models,
            actor,
            start,
            key,
            horizon=config.horizon,
            action_repeat=self.env.action_repeat,
            action_dim=self.env.action_dim,
            own_noise=release.own_noise,
        )
        how = {"reverse": release.reversed_returns, "by_value": release.select_by_value}

        def chosen(signal, critic, discount, lam):
            return choose(
                traj.feat,
                signal,
                traj.terminal,
                critic(traj.feat),
                discount=discount,
                lam=lam,
                **how,
            )

        rewards = chosen(traj.reward, critic, *self.of_reward)
        costs = chosen(traj.cost, cost_critic, *self.of_cost)
        terms = actor_loss(
            rewards.ret,
            costs.ret,
            start_cont,
            augmented,
            discount=config.discount,
            limit=self.limit,
        )
        return Objective(terms, rewards, costs, traj)

    def _policy_step(
        self,
        state: AgentState,
        models: PyTree,
        start: Latent,
        start_cont: jax.Array,
        key: jax.Array,
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """Update actor, multiplier and critics by one step each; the model is unchanged."""
        params = state.params

        def loss(p):
            objective = self.objective(
                params._replace(actor=p), state.augmented, models, start, start_cont, key
            )
            return objective.terms.loss, objective

        grads, (terms, rewards, costs, traj) = jax.grad(loss, has_aux=True)(params.actor)
        state, norm = gradient_step(self.optimizers, state, "actor", grads)
        augmented = update_augmented(self.config.augmented, state.augmented, terms.excess)
        state, critic_metrics = self._critic_step(
            "critic", state, rewards, start_cont, *self.of_reward
        )
        state, cost_metrics = self._critic_step(
            "cost_critic", state, costs, start_cont, *self.of_cost
        )
        metrics = {
            "actor/loss": terms.loss,
            "actor/grad_norm": norm,
            "imagined/reward": traj.reward.mean(),
            "imagined/return": rewards.ret.mean(),
            "imagined/optimism": rewards.margin,
            "imagined/cost": traj.cost.mean(),
            "imagined/cost_return": costs.ret.mean(),
            "imagined/pessimism": costs.margin,
            "augmented/multiplier": augmented.multiplier,
            "augmented/penalty_coefficient": augmented.penalty,
            "augmented/penalty": terms.penalty,
            "augmented/excess": terms.excess,
            **critic_metrics,
            **cost_metrics,
        }
        return state._replace(augmented=augmented), metrics

    def _critic_step(
        self,
        name: str,
        state: AgentState,
        chosen: Chosen,
        start_cont: jax.Array,
        discount: float,
        lam: float,
    ):
        """Update a critic towards λ-returns bootstrapped from its target copy; returns the next
        state and metrics.
        """
        graph, slow = getattr(self.graphs, name), getattr(state, f"slow_{name}")
        reverse = self.config.release.reversed_returns
        target = returns(
            chosen.signal,
            nnx.merge(graph, slow)(chosen.feat),
            chosen.terminal,
            discount,
            lam,
            reverse,
        )

        def loss(p):
            return critic_loss(nnx.merge(graph, p), chosen.feat[:-1], target, start_cont)

        value, grads = jax.value_and_grad(loss)(getattr(state.params, name))
        state, norm = gradient_step(self.optimizers, state, name, grads)
        copies = (state.updates + 1) % self.config.critic.slow_every == 0
        new = getattr(state.params, name)
        slow = jax.tree.map(lambda old, fresh: jnp.where(copies, fresh, old), slow, new)
        metrics = {f"{name}/loss": value, f"{name}/grad_norm": norm}
        return state._replace(**{f"slow_{name}": slow}), metrics
