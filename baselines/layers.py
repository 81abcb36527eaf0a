"""Layers of the baselines in JAX: Xavier-uniform kernels, zero biases, no norms.

Normals are pairs of mean and standard deviation.

Shapes: [..., I] -> [..., O].
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

xavier = nnx.initializers.xavier_uniform()


def leaky(x: jax.Array) -> jax.Array:
    """LeakyReLU with slope 0.2."""
    return jax.nn.leaky_relu(x, 0.2)


def dense(
    fan_in: int,
    fan_out: int,
    *,
    rngs: nnx.Rngs,
    dtype: jnp.dtype = jnp.float32,
    bias: float = 0.0,
) -> nnx.Linear:
    """A linear layer whose biases start at `bias`."""
    return nnx.Linear(
        fan_in,
        fan_out,
        kernel_init=xavier,
        bias_init=nnx.initializers.constant(bias),
        dtype=dtype,
        rngs=rngs,
    )


class Normal(NamedTuple):
    """Independent normals: mean and std [..., N]."""

    mean: jax.Array
    std: jax.Array

    def sample(self, noise: jax.Array) -> jax.Array:
        """mean + std * noise, with noise [..., N] from a unit normal."""
        return self.mean + self.std * noise


class MLP(nnx.Module):
    """Hidden layers with an activation, then, if `outputs` is not 0, a linear one with float32
    outputs.
    """

    def __init__(
        self,
        fan_in: int,
        units: int,
        layers: int,
        outputs: int = 0,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.elu,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float32,
        out_bias: float = 0.0,
    ):
        sizes = [fan_in, *[units] * layers]
        self.hidden = nnx.List(
            dense(i, o, rngs=rngs, dtype=dtype) for i, o in itertools.pairwise(sizes)
        )
        self.out = (
            dense(sizes[-1], outputs, rngs=rngs, dtype=dtype, bias=out_bias) if outputs else None
        )
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.hidden:
            x = self.activation(layer(x))
        return x if self.out is None else self.out(x).astype(jnp.float32)


class Gaussian(nnx.Module):
    """MLP with ELU to a normal of `size` entries; std = softplus(raw) + min_std."""

    def __init__(
        self,
        fan_in: int,
        size: int,
        units: int,
        layers: int,
        *,
        rngs: nnx.Rngs,
        min_std: float = 1e-5,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.mlp = MLP(fan_in, units, layers, 2 * size, rngs=rngs, dtype=dtype)
        self.min_std = min_std

    def __call__(self, *inputs: jax.Array) -> Normal:
        mean, raw = jnp.split(self.mlp(jnp.concatenate(inputs, -1)), 2, -1)
        return Normal(mean, jax.nn.softplus(raw) + self.min_std)
