"""Actor and critics (docs/concepts/lambda.md#actor-and-critics).

Shapes: `...` batch axes; F features; A actions.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from flax import nnx

from agents.nn.gaussian import tanh_normal_log_prob
from baselines.lambda_.config import ActorConfig, CriticConfig
from baselines.lambda_.objectives import over_starts
from baselines.layers import MLP


class Actor(nnx.Module):
    """Tanh-squashed normal.

        mean = mean_scale * tanh(m / mean_scale)
        std  = softplus(raw + c) + min_std,   bounded as max_std * tanh(std / max_std)

    for outputs m and raw of the network, with c such that the softplus is `init_std` at raw = 0. An
    infinite `max_std` leaves std unbounded.
    """

    def __init__(
        self,
        feat_dim: int,
        action_dim: int,
        config: ActorConfig,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype,
    ):
        self.mlp = MLP(
            feat_dim, config.units, config.layers, 2 * action_dim, rngs=rngs, dtype=dtype
        )
        self.config = config

    def __call__(self, feat: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation before squashing, each [..., A]."""
        mean, raw = jnp.split(self.mlp(feat), 2, -1)
        scale = self.config.mean_scale
        shift = math.log(math.expm1(self.config.init_std))
        std, most = jax.nn.softplus(raw + shift) + self.config.min_std, self.config.max_std
        bounded = std if math.isinf(most) else most * jnp.tanh(std / most)
        return scale * jnp.tanh(mean / scale), bounded

    def sample(self, feat: jax.Array, noise: jax.Array) -> jax.Array:
        """Actions [..., A] in -1..1 from standard normal `noise` [..., A]."""
        mean, std = self(feat)
        return jnp.tanh(mean + std * noise)

    def mode(self, feat: jax.Array, key: jax.Array) -> jax.Array:
        """The densest of `mode_samples` samples, [..., A], separately for each row of features."""
        mean, std = self(feat)
        x = mean + std * jax.random.normal(key, (self.config.mode_samples, *mean.shape))
        best = tanh_normal_log_prob(x, mean, std).argmax(0)
        return jnp.tanh(jnp.take_along_axis(x, best[None, ..., None], 0)[0])


class Critic(nnx.Module):
    """Expected return from a state, including its own reward or cost, [..., F] -> [...]."""

    def __init__(self, feat_dim: int, config: CriticConfig, *, rngs: nnx.Rngs):
        self.mlp = MLP(feat_dim, config.units, config.layers, 1, rngs=rngs)

    def __call__(self, feat: jax.Array) -> jax.Array:
        return self.mlp(feat)[..., 0]


def critic_loss(
    critic: Critic, feat: jax.Array, target: jax.Array, start_cont: jax.Array
) -> jax.Array:
    """Mean of (value - target)^2 / 2.

    The negative log-likelihood under a normal of unit variance, up to its constant.

    feat [H-1, N, F] and target [H-1, N]; starts are weighted by their continuation `start_cont`
    [N].
    """
    errors = jnp.square(critic(jax.lax.stop_gradient(feat)) - jax.lax.stop_gradient(target))
    return 0.5 * over_starts(errors, start_cont)
