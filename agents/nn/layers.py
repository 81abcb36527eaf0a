"""Dense layers in the form DreamerV3 and SafeDreamer use: matmul, LayerNorm, SiLU.

Parameters are float32; matmuls run in the layer's compute dtype, norms in float32.
Shapes: [..., I] -> [..., O].
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx

# Standard deviation of a unit normal truncated at two sigma; dividing by it restores the requested
# variance.
TRUNCATED_STD = 0.87962566


def fan_avg_init(
    key: jax.Array, shape: Sequence[int], scale: float, fan_in: int, fan_out: int
) -> jax.Array:
    """Truncated normal of variance `scale / mean(fan_in, fan_out)`.

    Zeros for scale 0 (docs/concepts/safedreamer.md#world-model).
    """
    if scale == 0.0:
        return jnp.zeros(shape, jnp.float32)
    std = (scale / ((fan_in + fan_out) / 2.0)) ** 0.5 / TRUNCATED_STD
    return std * jax.random.truncated_normal(key, -2.0, 2.0, shape, jnp.float32)


class Linear(nnx.Module):
    """x @ kernel (+ bias)."""

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        rngs: nnx.Rngs,
        bias: bool = True,
        outscale: float = 1.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.kernel = nnx.Param(
            fan_avg_init(rngs.params(), (fan_in, fan_out), outscale, fan_in, fan_out)
        )
        self.bias = nnx.Param(jnp.zeros((fan_out,), jnp.float32)) if bias else None
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        y = x.astype(self.dtype) @ self.kernel[...].astype(self.dtype)
        return y if self.bias is None else y + self.bias[...].astype(self.dtype)

    def rows(self, x: jax.Array, start: int) -> jax.Array:
        """Product of `x` with its rows of the kernel, which begin at `start`.

        One summand of `self(concatenate(...))`, without the bias.
        """
        kernel = jax.lax.dynamic_slice_in_dim(self.kernel[...], start, x.shape[-1], axis=0)
        return x.astype(self.dtype) @ kernel.astype(self.dtype)


class LayerNorm(nnx.Module):
    """Normalises the last axis in float32, eps 1e-3, with scale and bias."""

    def __init__(self, size: int):
        self.scale = nnx.Param(jnp.ones((size,), jnp.float32))
        self.bias = nnx.Param(jnp.zeros((size,), jnp.float32))

    def __call__(self, x: jax.Array) -> jax.Array:
        wide = x.astype(jnp.float32)
        centred = wide - wide.mean(-1, keepdims=True)
        variance = jnp.square(centred).mean(-1, keepdims=True)
        return (centred * jax.lax.rsqrt(variance + 1e-3) * self.scale[...] + self.bias[...]).astype(
            x.dtype
        )


class DenseBlock(nnx.Module):
    """Linear without bias -> LayerNorm -> SiLU."""

    def __init__(self, fan_in: int, units: int, *, rngs: nnx.Rngs, dtype: jnp.dtype = jnp.float32):
        self.linear = Linear(fan_in, units, rngs=rngs, bias=False, dtype=dtype)
        self.norm = LayerNorm(units)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.activate(self.linear(x))

    def activate(self, pre: jax.Array) -> jax.Array:
        """Norm and activation of a precomputed product (see `Linear.rows`)."""
        return jax.checkpoint(lambda pre: jax.nn.silu(self.norm(pre)))(pre)


class MLP(nnx.Module):
    """`layers` dense blocks, [..., I] -> [..., units]."""

    def __init__(
        self,
        fan_in: int,
        units: int,
        layers: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float32,
    ):
        sizes = [fan_in, *[units] * layers]
        self.blocks = nnx.List(
            DenseBlock(i, o, rngs=rngs, dtype=dtype) for i, o in itertools.pairwise(sizes)
        )

    def __call__(self, x: jax.Array) -> jax.Array:
        for block in self.blocks:
            x = block(x)
        return x
