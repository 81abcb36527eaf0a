"""Strided 4x4 convolutions and their transposes, in two equal forms.

XLA's own and sums of matrix products.

On CPU the gradient of XLA's transposed convolution is about 20 times slower than its FLOPs allow.
A kernel of 4 and a stride of 2 on an even grid splits exactly into products over pixel blocks,
whose gradients are products again. On a GPU XLA's convolution is faster, provided XLA may autotune:
an update of a small vision model took 14.4 ms, 17.1 ms with products, and 317 ms without
autotuning, because cuDNN then uses its direct kernels (H200, JAX 0.11, CUDA 13, bfloat16;
results/gpu). `impl="auto"` chooses by backend.

Shapes: B images; n pixels a side (even); I, O channels; images are [B, n, n, channels].
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import nnx

from agents.nn.layers import LayerNorm, fan_avg_init

Impl = Literal["auto", "xla", "matmul"]
KERNEL, STRIDE = 4, 2
PAIRS = (0, 0), (0, 1), (1, 0), (1, 1)  # rows and columns of a 2x2 block


def resolve_impl(impl: Impl) -> Literal["xla", "matmul"]:
    """`auto` -> `matmul` on CPU, `xla` elsewhere."""
    if impl == "auto":
        return "matmul" if jax.default_backend() == "cpu" else "xla"
    return impl


def conv_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """SAME convolution with stride 2: [B, 2n, 2n, I] * [4, 4, I, O] -> [B, n, n, O]."""
    return jax.lax.conv_general_dilated(
        x, kernel, (STRIDE, STRIDE), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def conv_matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`conv_xla` as one matrix product.

    The input is cut into 2x2 blocks; each output pixel depends on 2x2 of these blocks.
    """
    batch, height, width, channels = x.shape
    rows, cols = height // 2, width // 2
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    blocks = x.reshape(batch, rows + 1, 2, cols + 1, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    blocks = blocks.reshape(batch, rows + 1, cols + 1, 4 * channels)
    patches = jnp.concatenate([blocks[:, dy : dy + rows, dx : dx + cols] for dy, dx in PAIRS], -1)
    # Kernel rows in the same order: block (dy, dx), then pixel within the block, then channel.
    out = kernel.shape[-1]
    weight = (
        kernel.reshape(2, 2, 2, 2, channels, out)
        .transpose(0, 2, 1, 3, 4, 5)
        .reshape(16 * channels, out)
    )
    return patches @ weight


def conv_transpose_xla(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """SAME transposed convolution with stride 2: [B, n, n, I] * [4, 4, O, I] -> [B, 2n, 2n, O].

    The kernel is not flipped.
    """
    return jax.lax.conv_transpose(
        x, kernel, (STRIDE, STRIDE), "SAME", dimension_numbers=("NHWC", "HWOI", "NHWC")
    )


def conv_transpose_matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`conv_transpose_xla` as four matrix products, one per parity of the output pixel.

    Along one axis, out[2m] = k0 x[m-1] + k2 x[m] and out[2m+1] = k1 x[m] + k3 x[m+1]; in two
    dimensions each pair of parities depends on 2x2 inputs.
    """
    batch, rows, cols, _ = x.shape
    out = kernel.shape[2]
    x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    phases = []
    for py, px in PAIRS:
        patches = jnp.concatenate(
            [x[:, py + dy : py + dy + rows, px + dx : px + dx + cols] for dy, dx in PAIRS], -1
        )
        weight = jnp.concatenate([kernel[py + 2 * dy, px + 2 * dx].T for dy, dx in PAIRS], 0)
        phases.append(patches @ weight)
    grid = jnp.stack(phases, 3).reshape(batch, rows, cols, 2, 2, out)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(batch, 2 * rows, 2 * cols, out)


class Conv(nnx.Module):
    """4x4 convolution with stride 2, or its transpose.

    With `norm`: no bias, LayerNorm over channels, SiLU; without: bias only.
    """

    def __init__(
        self,
        fan_in: int,
        fan_out: int,
        *,
        rngs: nnx.Rngs,
        transpose: bool,
        norm: bool,
        impl: Impl,
        dtype: jnp.dtype = jnp.float32,
    ):
        area = KERNEL * KERNEL
        channels = (fan_out, fan_in) if transpose else (fan_in, fan_out)
        shape = (KERNEL, KERNEL, *channels)
        self.kernel = nnx.Param(
            fan_avg_init(rngs.params(), shape, 1.0, area * fan_in, area * fan_out)
        )
        self.norm = LayerNorm(fan_out) if norm else None
        self.bias = None if norm else nnx.Param(jnp.zeros((fan_out,), jnp.float32))
        self.transpose = transpose
        self.impl: Impl = impl
        self.dtype = dtype

    def __call__(self, x: jax.Array) -> jax.Array:
        forms = {
            (False, "xla"): conv_xla,
            (False, "matmul"): conv_matmul,
            (True, "xla"): conv_transpose_xla,
            (True, "matmul"): conv_transpose_matmul,
        }
        y = forms[self.transpose, resolve_impl(self.impl)](
            x.astype(self.dtype), self.kernel[...].astype(self.dtype)
        )
        if self.bias is not None:
            return y + self.bias[...].astype(self.dtype)
        assert self.norm is not None
        return jax.nn.silu(self.norm(y))


def convolve(convs: Sequence[Conv], x: jax.Array, chunk: int) -> jax.Array:
    """Apply convolutions in sequence, [N, n, n, I] -> [N, m, m, O], to at most `chunk` images at a
    time if they are computed as matrix products.

    These copy each pixel into four blocks. For a large batch the copies of all layers, kept for the
    gradient, dominate the memory of an update; in chunks, only one chunk's copies exist at a time,
    and only inputs and products are kept. A `chunk` of 0 processes all images at once.
    """

    def layers(x: jax.Array) -> jax.Array:
        for conv in convs:
            x = conv(x)
        return x

    if resolve_impl(convs[0].impl) != "matmul" or not 0 < chunk < len(x):
        return layers(x)
    count = next(n for n in range(-(-len(x) // chunk), len(x) + 1) if len(x) % n == 0)
    lean = jax.checkpoint(layers, policy=jax.checkpoint_policies.dots_saveable)
    y = jax.lax.map(lean, x.reshape(count, -1, *x.shape[1:]))
    return y.reshape(-1, *y.shape[2:])
