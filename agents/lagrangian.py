"""Lagrange multipliers as pure state -> state functions.

A PID controller and an augmented Lagrangian.

Both map scalars to scalars and are independent of the agents. Costs are per episode, in the
simulator's units, unless the caller decides otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.settings import AugmentedConfig, PIDConfig


class PIDState(NamedTuple):
    """Controller state; scalars but for `history`, the smoothed costs of the last `delay` episodes,
    oldest first.
    """

    multiplier: jax.Array
    proportional: jax.Array
    integral: jax.Array
    derivative: jax.Array
    smoothed_cost: jax.Array
    history: jax.Array
    cost_average: jax.Array


def init_pid(config: PIDConfig) -> PIDState:
    """Multiplier zero, integral at its initial value, everything else zero."""
    zero = jnp.zeros(())
    integral = jnp.asarray(config.integral_init, jnp.float32)
    return PIDState(zero, zero, integral, zero, zero, jnp.zeros((config.delay,)), zero)


def scheduled_limit(
    config: PIDConfig, cost_limit: float, agent_steps: jax.Array | int
) -> jax.Array:
    """Cost limit at `agent_steps`.

    Constant, or falling by `limit_decrement` each stage and never below `cost_limit`.
    """
    if not config.limit_schedule:
        return jnp.asarray(cost_limit, jnp.float32)
    stage = jnp.minimum(jnp.asarray(agent_steps) // config.limit_stage_steps, config.limit_stages)
    return jnp.maximum(cost_limit, config.limit_init - config.limit_decrement * stage).astype(
        jnp.float32
    )


def update_pid(
    config: PIDConfig,
    state: PIDState,
    episode_cost: jax.Array | float,
    cost_limit: float,
    agent_steps: jax.Array | int,
) -> PIDState:
    """Update the controller after a finished training episode.

    docs/concepts/safedreamer.md#pid-multiplier

        c = EMA(episode_cost);  e = c - limit
        I <- max(0, I + ki e);  P <- 0.95 P + 0.05 e;  S <- 0.95 S + 0.05 c;
        D = max(0, S - S[delay updates ago])
        multiplier = clip(kp P + I + kd D, 0, max_multiplier)

    Up to `start_agent_steps` only the average of costs is updated.
    """
    average = config.cost_ema * state.cost_average + (1.0 - config.cost_ema) * episode_cost
    excess = average - scheduled_limit(config, cost_limit, agent_steps)
    integral = jnp.maximum(0.0, state.integral + config.ki * excess)
    proportional = (
        config.proportional_ema * state.proportional + (1.0 - config.proportional_ema) * excess
    )
    smoothed = config.derivative_ema * state.smoothed_cost + (1.0 - config.derivative_ema) * average
    derivative = jnp.maximum(0.0, smoothed - state.history[0])
    multiplier = jnp.clip(
        config.kp * proportional + integral + config.kd * derivative, 0.0, config.max_multiplier
    )
    history = jnp.concatenate([state.history[1:], smoothed[None]])
    stepped = PIDState(multiplier, proportional, integral, derivative, smoothed, history, average)
    waiting = state._replace(cost_average=average)
    started = jnp.asarray(agent_steps) > config.start_agent_steps
    return jax.tree.map(lambda new, old: jnp.where(started, new, old), stepped, waiting)


class AugmentedState(NamedTuple):
    """Multiplier and penalty coefficient; scalars."""

    multiplier: jax.Array
    penalty: jax.Array


def init_augmented(config: AugmentedConfig) -> AugmentedState:
    """State before the first update."""
    return AugmentedState(
        jnp.asarray(config.multiplier_init, jnp.float32),
        jnp.asarray(config.penalty_init, jnp.float32),
    )


def augmented_penalty(state: AugmentedState, excess: jax.Array) -> jax.Array:
    """Penalty to add to a loss for a constraint excess g = C - b; gradients flow through g.

    u = lambda + mu g;   psi = lambda g + mu g^2 / 2   if u > 0   else   -lambda^2 / (2 mu)
    """
    active = state.multiplier + state.penalty * excess > 0
    return jnp.where(
        active,
        state.multiplier * excess + 0.5 * state.penalty * jnp.square(excess),
        -jnp.square(state.multiplier) / (2.0 * state.penalty),
    )


def update_augmented(
    config: AugmentedConfig, state: AugmentedState, excess: jax.Array
) -> AugmentedState:
    """lambda <- max(0, lambda + mu g);  mu <- clip(mu (1 + growth), mu, max)."""
    return grow_penalty(config, move_multiplier(state, excess))


def move_multiplier(state: AugmentedState, excess: jax.Array) -> AugmentedState:
    """lambda <- max(0, lambda + mu g); the penalty coefficient stays."""
    return state._replace(multiplier=jnp.maximum(0.0, state.multiplier + state.penalty * excess))


def grow_penalty(config: AugmentedConfig, state: AugmentedState) -> AugmentedState:
    """mu <- clip(mu (1 + growth), mu, max); the multiplier stays."""
    return state._replace(
        penalty=jnp.clip(
            state.penalty * (1.0 + config.penalty_growth), state.penalty, config.penalty_max
        )
    )


def imagined_excess(
    episode_cost: jax.Array | float,
    cost_limit: float,
    *,
    episode_length: float,
    discount_horizon: float,
    summed: int,
) -> jax.Array | float:
    """An episode's excess over the cost limit in the units of imagined cost returns, g = (J - b) *
    S * T / L.

    At a cost of c per agent step, an episode of L agent steps costs J = c L, and the discounted
    return with discount 1 - 1/T is c T. The imagined constraint sums S such returns (the horizon
    when pessimistic, else 1): S c T = J * S T / L. Penalty coefficients thus keep their meaning
    whether imagined or real costs drive the multiplier. Ours, not the release's:
    docs/concepts/safedreamer.md#multiplier-driven-by-episodes
    """
    return (episode_cost - cost_limit) * (summed * discount_horizon / episode_length)
