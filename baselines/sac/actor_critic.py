"""Soft actor-critic with a cost critic (arXiv:1801.01290; costs as in arXiv:2210.01801).

Networks, targets, losses: docs/concepts/safe_slac.md#actor-and-critics.

Shapes: N states or latents z [N, Z]; A action dimensions; C cost critics.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.nn.gaussian import normal_log_prob
from baselines.layers import MLP, Normal, leaky
from baselines.sac.config import SACConfig

HIDDEN_LAYERS = 2
LOG_STD = -20.0, 2.0  # bounds


class Actor(nnx.Module):
    """Maps states to squashed normals."""

    def __init__(self, fan_in: int, action_dim: int, units: int, *, rngs: nnx.Rngs):
        self.mlp = MLP(fan_in, units, HIDDEN_LAYERS, 2 * action_dim, leaky, rngs=rngs)

    def __call__(self, z: jax.Array) -> Normal:
        """The normal [N, A] before the tanh."""
        mean, log_std = jnp.split(self.mlp(z), 2, -1)
        return Normal(mean, jnp.exp(jnp.clip(log_std, *LOG_STD)))


def squash(dist: Normal, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Actions tanh(u) [N, A] with u = mean + std * noise, and their log-density
    log N(u) - sum log(1 - a^2 + 1e-6) [N].
    """
    unsquashed = dist.sample(noise)
    action = jnp.tanh(unsquashed)
    density = normal_log_prob(unsquashed, dist.mean, dist.std)
    return action, density - jnp.log(1.0 - jnp.square(action) + 1e-6).sum(-1)


def sample_action(dist: Normal, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """`squash` with noise from a key."""
    return squash(dist, jax.random.normal(key, dist.mean.shape))


class TwinCritic(nnx.Module):
    """Two independent action-value networks."""

    def __init__(self, fan_in: int, units: int, *, rngs: nnx.Rngs):
        self.first = MLP(fan_in, units, HIDDEN_LAYERS, 1, leaky, rngs=rngs)
        self.second = MLP(fan_in, units, HIDDEN_LAYERS, 1, leaky, rngs=rngs)

    def __call__(self, z: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Both values [N]."""
        x = jnp.concatenate([z, action], -1)
        return self.first(x)[..., 0], self.second(x)[..., 0]


class CostCritic(nnx.Module):
    """Discounted cost of an action, initially near the discounted limit `bias`: the largest
    estimate of C = `config.cost_critics` networks.

    See `SACConfig.cost_output`.
    """

    def __init__(self, fan_in: int, config: SACConfig, bias: float, *, rngs: nnx.Rngs):
        first, *others = (
            MLP(fan_in, config.units, HIDDEN_LAYERS, 1, leaky, rngs=rngs, out_bias=bias)
            for _ in range(config.cost_critics)
        )
        self.mlp, self.others = first, nnx.List(others)
        self.leaky_output = config.cost_output == "leaky"

    def estimates(self, z: jax.Array, action: jax.Array) -> jax.Array:
        """Values [C, N] of all networks."""
        x = jnp.concatenate([z, action], -1)
        value = jnp.stack([mlp(x)[..., 0] for mlp in (self.mlp, *self.others)])
        return jax.nn.leaky_relu(value, 0.01) if self.leaky_output else value

    def __call__(self, z: jax.Array, action: jax.Array) -> jax.Array:
        """Largest values [N]."""
        return self.estimates(z, action).max(0)

    def future(self, z: jax.Array, action: jax.Array) -> jax.Array:
        """Values [N] for targets; those of a linear output are clipped at zero."""
        value = self(z, action)
        return value if self.leaky_output else jnp.maximum(value, 0.0)


def discounted_limit(cost_limit: float, cost_discount: float, agent_steps: int) -> float:
    """Discounted cost of an episode of `agent_steps` whose limit is spent evenly.

    Limit (1 - g^T) / (1 - g) / T.
    """
    return cost_limit * (1.0 - cost_discount**agent_steps) / (1.0 - cost_discount) / agent_steps


class SACNetworks(NamedTuple):
    """Actor and critics: modules, graph definitions or parameters."""

    actor: Any
    critic: Any
    cost_critic: Any


def build(
    config: SACConfig, size: int, env: EnvSpec, cost_limit: float, rngs: nnx.Rngs
) -> SACNetworks:
    """Newly initialised modules on states of `size` entries."""
    bias = discounted_limit(cost_limit, config.cost_discount, env.episode_agent_steps)
    pair = size + env.action_dim
    return SACNetworks(
        Actor(size, env.action_dim, config.units, rngs=rngs),
        TwinCritic(pair, config.units, rngs=rngs),
        CostCritic(pair, config, bias, rngs=rngs),
    )


def td_target(reward, terminal, value, discount) -> jax.Array:
    """y = r + (1 - done) g V(z'), all [N]; of rewards or costs."""
    return reward + (1.0 - terminal) * discount * value


def soft_value(value1, value2, log_prob, temperature) -> jax.Array:
    """min(Q1, Q2)(z, a) - alpha log pi(a | z), all [N]."""
    return jnp.minimum(value1, value2) - temperature * log_prob


def actor_objective(value1, value2, log_prob, cost_value, temperature, multiplier) -> jax.Array:
    """min(Q1, Q2) - alpha log pi - multiplier C, all [N]; to be maximised."""
    return soft_value(value1, value2, log_prob, temperature) - multiplier * cost_value


def temperature_loss(log_temperature, entropy, target_entropy) -> jax.Array:
    """log(alpha) (H - H_target): alpha falls while the entropy is above its target, which is -A."""
    return log_temperature * (entropy - target_entropy)
