"""One update of soft actor-critic with a cost critic, for learners with the required state.

Order: critics -> cost critic -> actor -> temperature -> target copies.
Shapes: N transitions, M state-action pairs that critics fit (N, or more if targets are expanded
over imagined steps); Z size of a state, A action dimensions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from agents.optimizers import gradient_step, make_optimizer
from baselines.sac import actor_critic as sac
from baselines.sac.config import SACConfig


class Transitions(NamedTuple):
    """States z, z_next [N, Z] and action [N, A]; reward, cost, terminal and weight [N].

    A weight of 0 excludes a transition from every loss.
    """

    z: jax.Array
    action: jax.Array
    z_next: jax.Array
    reward: jax.Array
    cost: jax.Array
    terminal: jax.Array
    weight: jax.Array


def zero_transition(size: int, action_dim: int) -> Transitions:
    """One transition of zeros, without the axis N; gives the shapes of a row to a buffer."""
    z, zero = jnp.zeros(size), jnp.zeros(())
    return Transitions(z, jnp.zeros(action_dim), z, *[zero] * 4)


class Targets(NamedTuple):
    """Targets of the critics: pairs z [M, Z], action [M, A]; return, cost and weight [M]."""

    z: jax.Array
    action: jax.Array
    reward: jax.Array
    cost: jax.Array
    weight: jax.Array


# (state, transitions, key of the next actions, key of the next actions of the cost critic)
MakeTargets: TypeAlias = Callable[[Any, Transitions, jax.Array, jax.Array], Targets]


def sac_optimizers(config: SACConfig) -> tuple[optax.GradientTransformation, ...]:
    """Optimisers of actor, critic, cost critic and temperature, with the same settings but for the
    actor's gradient clipping.
    """
    of_actor = make_optimizer(dataclasses.replace(config.optimizer, clip=config.actor_clip))
    return of_actor, *[make_optimizer(config.optimizer)] * 3


def weighted_mean(x: jax.Array, weight: jax.Array) -> jax.Array:
    """Weighted mean of x over elements, 0 if all weights are 0."""
    return (x * weight).sum() / jnp.maximum(weight.sum(), 1.0)


class ActorCriticLearner:
    """Base of learners. Subclasses provide `config.sac`, `graphs` (actor, critic, cost_critic) and
    `optimizers`.

    A state has `params` and `optimizers` (NamedTuples with actor, critic, cost_critic and
    log_temperature), `target_critic`, `target_cost_critic` and `multiplier`.
    """

    config: Any
    graphs: Any
    optimizers: Any

    def next_values(
        self, state: Any, z: jax.Array, key: jax.Array, cost_key: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The target critics' values [N] of return (including entropy) and cost in states z [N, Z],
        each of one sampled action.
        """
        graphs, temperature = self.graphs, jnp.exp(state.params.log_temperature)
        dist = nnx.merge(graphs.actor, state.params.actor)(z)
        action, log_prob = sac.sample_action(dist, key)
        value1, value2 = nnx.merge(graphs.critic, state.target_critic)(z, action)
        cost_action, _ = sac.sample_action(dist, cost_key)
        cost_critic = nnx.merge(graphs.cost_critic, state.target_cost_critic)
        return (
            sac.soft_value(value1, value2, log_prob, temperature),
            cost_critic.future(z, cost_action),
        )

    def one_step_targets(
        self, state: Any, data: Transitions, key: jax.Array, cost_key: jax.Array
    ) -> Targets:
        """Targets: reward (or cost) plus the value of one sampled next action."""
        config = self.config.sac
        value, cost_value = self.next_values(state, data.z_next, key, cost_key)
        return Targets(
            data.z,
            data.action,
            sac.td_target(data.reward, data.terminal, value, config.discount),
            sac.td_target(data.cost, data.terminal, cost_value, config.cost_discount),
            data.weight,
        )

    def sac_step(
        self,
        state: Any,
        data: Transitions,
        key: jax.Array,
        rates: jax.Array | None = None,
        make_targets: MakeTargets | None = None,
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Update everything once; returns the next state and metrics.

        `rates`, if given, multiplies every learning rate. Targets default to `one_step_targets`.
        The actor learns from the states of `data`.
        """
        target_key, cost_key, actor_key = jax.random.split(key, 3)
        targets = (make_targets or self.one_step_targets)(state, data, target_key, cost_key)
        temperature = jnp.exp(state.params.log_temperature)
        state, metrics = self._critic_steps(state, jax.lax.stop_gradient(targets), rates)
        state, of_actor = self._actor_step(state, data, temperature, rates, actor_key)
        target_entropy = -float(data.action.shape[-1])
        grads = jax.grad(sac.temperature_loss)(
            state.params.log_temperature, of_actor["actor/entropy"], target_entropy
        )
        state, _ = gradient_step(self.optimizers, state, "log_temperature", grads, rates)
        averages: Any = optax.incremental_update(
            (state.params.critic, state.params.cost_critic),
            (state.target_critic, state.target_cost_critic),
            self.config.sac.target_fraction,
        )
        state = state._replace(target_critic=averages[0], target_cost_critic=averages[1])
        return state, metrics | of_actor | {"actor/temperature": temperature}

    def _critic_steps(self, state: Any, targets: Targets, rates: jax.Array | None):
        graphs, w = self.graphs, targets.weight

        def critic_loss(p):
            q1, q2 = nnx.merge(graphs.critic, p)(targets.z, targets.action)
            return weighted_mean(
                jnp.square(q1 - targets.reward) + jnp.square(q2 - targets.reward), w
            )

        def cost_loss(p):
            values = nnx.merge(graphs.cost_critic, p).estimates(targets.z, targets.action)
            return weighted_mean(jnp.square(values - targets.cost).sum(0), w)

        metrics = {}
        for name, loss, y in (
            ("critic", critic_loss, targets.reward),
            ("cost_critic", cost_loss, targets.cost),
        ):
            value, grads = jax.value_and_grad(loss)(getattr(state.params, name))
            state, norm = gradient_step(self.optimizers, state, name, grads, rates)
            metrics |= {
                f"{name}/loss": value,
                f"{name}/target": weighted_mean(y, w),
                f"{name}/grad_norm": norm,
            }
        return state, metrics

    def _actor_step(
        self,
        state: Any,
        data: Transitions,
        temperature: jax.Array,
        rates: jax.Array | None,
        key: jax.Array,
    ):
        graphs, w = self.graphs, data.weight
        critic = nnx.merge(graphs.critic, state.params.critic)
        cost_critic = nnx.merge(graphs.cost_critic, state.params.cost_critic)

        def actor_loss(p):
            action, log_prob = sac.sample_action(nnx.merge(graphs.actor, p)(data.z), key)
            cost = cost_critic(data.z, action)
            q1, q2 = critic(data.z, action)
            objective = sac.actor_objective(q1, q2, log_prob, cost, temperature, state.multiplier)
            return -weighted_mean(objective, w), (
                -weighted_mean(log_prob, w),
                weighted_mean(cost, w),
            )

        (value, (entropy, policy_cost)), grads = jax.value_and_grad(actor_loss, has_aux=True)(
            state.params.actor
        )
        state, norm = gradient_step(self.optimizers, state, "actor", grads, rates)
        return state, {
            "cost_critic/value": policy_cost,
            "actor/loss": value,
            "actor/entropy": entropy,
            "actor/grad_norm": norm,
        }
