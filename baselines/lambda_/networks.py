"""Plain dense networks of LAMBDA: Glorot-uniform kernels, zero biases, no norms.

Shapes: [..., I] -> [..., O].
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx


def dense(fan_in: int, fan_out: int, *, rngs: nnx.Rngs, dtype: jnp.dtype) -> nnx.Linear:
    """A dense layer initialised as in the original."""
    return nnx.Linear(
        fan_in, fan_out, kernel_init=nnx.initializers.glorot_uniform(), dtype=dtype, rngs=rngs
    )


class Dense(nnx.Module):
    """`layers` dense layers with an activation and, if `outputs` is not 0, a linear layer with
    float32 outputs.
    """

    def __init__(
        self,
        fan_in: int,
        units: int,
        layers: int,
        outputs: int = 0,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float32,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.elu,
    ):
        sizes = [fan_in, *[units] * layers]
        self.hidden = nnx.List(
            [dense(i, o, rngs=rngs, dtype=dtype) for i, o in zip(sizes, sizes[1:])]
        )
        self.out = dense(units, outputs, rngs=rngs, dtype=dtype) if outputs else None
        self.activation = activation

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.hidden:
            x = self.activation(layer(x))
        return x if self.out is None else self.out(x).astype(jnp.float32)
