"""Layers of actors, critics and latent models: Xavier-uniform kernels, zero biases, no norms.

Normals as pairs of mean and standard deviation.

Shapes: [..., I] -> [..., O].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
from flax import nnx

xavier = nnx.initializers.xavier_uniform()


def leaky(x: jax.Array) -> jax.Array:
    """LeakyReLU with slope 0.2."""
    return jax.nn.leaky_relu(x, 0.2)


class Normal(NamedTuple):
    """Independent normals: mean and std [..., N]."""

    mean: jax.Array
    std: jax.Array

    def sample(self, noise: jax.Array) -> jax.Array:
        """mean + std * noise, with noise [..., N] from a unit normal."""
        return self.mean + self.std * noise


class MLP(nnx.Module):
    """Hidden layers with an activation, then a linear one."""

    def __init__(
        self,
        fan_in: int,
        units: int,
        layers: int,
        fan_out: int,
        activation: Callable[[jax.Array], jax.Array],
        *,
        rngs: nnx.Rngs,
        out_bias: float = 0.0,
    ):
        sizes = [fan_in, *[units] * layers]
        self.hidden = nnx.List(
            nnx.Linear(i, o, kernel_init=xavier, rngs=rngs)
            for i, o in zip(sizes, sizes[1:], strict=False)
        )
        bias = nnx.initializers.constant(out_bias)
        self.out = nnx.Linear(sizes[-1], fan_out, kernel_init=xavier, bias_init=bias, rngs=rngs)
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.hidden:
            x = self.activation(layer(x))
        return self.out(x)
