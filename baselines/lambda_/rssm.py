"""Gaussian recurrent state-space model (Hafner et al., arXiv:1811.04551;
docs/concepts/lambda.md#world-model).

Shapes: B batch, T time; D deterministic, Z stochastic size; A action; E embedding; F = Z + D.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from baselines.lambda_.config import ModelConfig
from baselines.lambda_.networks import Dense, dense


class Latent(NamedTuple):
    """deter [..., D]; stoch [..., Z].

    `mean` and `std` [..., Z] are those of the normal that stoch was drawn from.
    """

    deter: jax.Array
    stoch: jax.Array
    mean: jax.Array
    std: jax.Array

    @property
    def feat(self) -> jax.Array:
        """[..., Z + D], the input of every head."""
        return jnp.concatenate([self.stoch, self.deter], -1)


def zero_latent(config: ModelConfig, lead: tuple[int, ...]) -> Latent:
    """The latent state at the start of every sequence and episode."""
    deter, stoch = jnp.zeros((*lead, config.deter)), jnp.zeros((*lead, config.stoch))
    return Latent(deter, stoch, stoch, stoch)


class GaussianHead(nnx.Module):
    """Dense, ELU, dense -> mean and std = softplus(raw) + min_std, each [..., Z]."""

    def __init__(self, fan_in: int, config: ModelConfig, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.mlp = Dense(fan_in, config.deter, 1, 2 * config.stoch, rngs=rngs, dtype=dtype)
        self.min_std = config.min_std

    def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean, raw = jnp.split(self.mlp(x), 2, -1)
        return mean, jax.nn.softplus(raw) + self.min_std


class Transition(nnx.Module):
    """Prediction without observations: a GRU and the prior of the stochastic state."""

    def __init__(self, config: ModelConfig, action_dim: int, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.into = dense(config.stoch + action_dim, config.deter, rngs=rngs, dtype=dtype)
        init = nnx.initializers.glorot_uniform()
        self.gru = nnx.GRUCell(config.deter, config.deter, kernel_init=init, dtype=dtype, rngs=rngs)
        self.prior = GaussianHead(config.deter, config, rngs=rngs, dtype=dtype)

    def next_deter(self, prev: Latent, action: jax.Array) -> jax.Array:
        """GRU step [..., D]."""
        x = jax.nn.elu(self.into(jnp.concatenate([action, prev.stoch], -1)))
        return self.gru(prev.deter, x)[0].astype(jnp.float32)

    def predict(self, prev: Latent, action: jax.Array, noise: jax.Array) -> Latent:
        """State after `action` [..., A], sampled from the prior with standard normal `noise`
        [..., Z].
        """
        deter = self.next_deter(prev, action)
        mean, std = self.prior(deter)
        return Latent(deter, mean + std * noise, mean, std)


class Posterior(nnx.Module):
    """Corrects a prediction with an embedded observation."""

    def __init__(self, config: ModelConfig, embed_dim: int, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.head = GaussianHead(config.deter + embed_dim, config, rngs=rngs, dtype=dtype)

    def correct(
        self,
        transition: Transition,
        prev: Latent,
        prev_action: jax.Array,
        embed: jax.Array,
        is_first: jax.Array,
        noise: jax.Array,
    ) -> Latent:
        """Posterior state [B, ...] after `prev_action` and an observation.

        Where `is_first`, it starts from the zero state with a zero action.
        """
        prev, prev_action = jax.tree.map(
            lambda x: jnp.where(is_first[:, None], 0.0, x), (prev, prev_action)
        )
        deter = transition.next_deter(prev, prev_action)
        mean, std = self.head(jnp.concatenate([deter, embed.astype(jnp.float32)], -1))
        return Latent(deter, mean + std * noise, mean, std)


def observe(
    transition: Transition,
    posterior: Posterior,
    start: Latent,
    prev_action: jax.Array,
    embed: jax.Array,
    is_first: jax.Array,
    noise: jax.Array,
) -> Latent:
    """Posterior states [B, T, ...] along sequences from `start` [B, ...].

    `prev_action[:, t]` led to the observation at t.

    Shapes: prev_action [B, T, A]; embed [B, T, E]; is_first [B, T]; noise [B, T, Z], standard
    normal.
    """

    def step(prev, xs):
        post = posterior.correct(transition, prev, *xs)
        return post, post

    inputs = jax.tree.map(lambda x: x.swapaxes(0, 1), (prev_action, embed, is_first, noise))
    _, post = jax.lax.scan(step, start, inputs)
    return jax.tree.map(lambda x: x.swapaxes(0, 1), post)
