"""Gaussians of Safe SLAC's latent model: an MLP to mean and standard deviation.

Shapes: [..., I] -> [..., O].
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from baselines.sac.layers import MLP, Normal


class Gaussian(nnx.Module):
    """MLP with ELU to a normal; std = softplus(raw) + min_std."""

    def __init__(
        self,
        fan_in: int,
        size: int,
        units: int,
        layers: int,
        *,
        rngs: nnx.Rngs,
        min_std: float = 1e-5,
    ):
        self.mlp = MLP(fan_in, units, layers, 2 * size, jax.nn.elu, rngs=rngs)
        self.min_std = min_std

    def __call__(self, *inputs: jax.Array) -> Normal:
        mean, raw = jnp.split(self.mlp(jnp.concatenate(inputs, -1)), 2, -1)
        return Normal(mean, jax.nn.softplus(raw) + self.min_std)
