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
from baselines.layers import Gaussian, dense, xavier


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


def _stoch_head(fan_in: int, config: ModelConfig, rngs: nnx.Rngs, dtype: jnp.dtype) -> Gaussian:
    """Normals of the stochastic state [..., Z], by one hidden layer."""
    min_std = config.min_std
    return Gaussian(fan_in, config.stoch, config.deter, 1, rngs=rngs, min_std=min_std, dtype=dtype)


class Transition(nnx.Module):
    """Prediction without observations: a GRU and the prior of the stochastic state."""

    def __init__(self, config: ModelConfig, action_dim: int, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.into = dense(config.stoch + action_dim, config.deter, rngs=rngs, dtype=dtype)
        self.gru = nnx.GRUCell(
            config.deter, config.deter, kernel_init=xavier, dtype=dtype, rngs=rngs
        )
        self.prior = _stoch_head(config.deter, config, rngs, dtype)

    def next_deter(self, prev: Latent, action: jax.Array) -> jax.Array:
        """GRU step [..., D]."""
        x = jax.nn.elu(self.into(jnp.concatenate([action, prev.stoch], -1)))
        return self.gru(prev.deter, x)[0].astype(jnp.float32)

    def predict(self, prev: Latent, action: jax.Array, noise: jax.Array) -> Latent:
        """State after `action` [..., A], sampled from the prior with standard normal `noise`
        [..., Z].
        """
        deter = self.next_deter(prev, action)
        prior = self.prior(deter)
        return Latent(deter, prior.sample(noise), *prior)


class Posterior(nnx.Module):
    """Corrects a prediction with an embedded observation."""

    def __init__(self, config: ModelConfig, embed_dim: int, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.head = _stoch_head(config.deter + embed_dim, config, rngs, dtype)

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
        post = self.head(deter, embed.astype(jnp.float32))
        return Latent(deter, post.sample(noise), *post)


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
