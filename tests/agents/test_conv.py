"""Strided convolutions: values and gradients of the matrix-product form, against XLA's
convolution and plain loops.
"""

from __future__ import annotations

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from agents.nn.conv import (
    Conv,
    conv_matmul,
    conv_transpose_matmul,
    conv_transpose_xla,
    conv_xla,
    convolve,
    resolve_impl,
)


def arrays(*shapes: tuple[int, ...]) -> list[jax.Array]:
    rng = np.random.default_rng(sum(map(sum, shapes)))
    return [jnp.asarray(rng.normal(size=shape), jnp.float32) for shape in shapes]


def slow_conv(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """out[m] = sum_k kernel[k] x[2m + k - 1], zero outside."""
    batch, side, _, _ = x.shape
    out = np.zeros((batch, side // 2, side // 2, kernel.shape[-1]))
    for my, mx, ky, kx in np.ndindex(side // 2, side // 2, 4, 4):
        y, z = 2 * my + ky - 1, 2 * mx + kx - 1
        if 0 <= y < side and 0 <= z < side:
            out[:, my, mx] += x[:, y, z] @ kernel[ky, kx]
    return out


def slow_transpose(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Each input pixel m adds kernel[k] x[m] to output 2m + k' - 1, with the unflipped kernel read
    from its end.
    """
    batch, side, _, _ = x.shape
    out = np.zeros((batch, 2 * side, 2 * side, kernel.shape[2]))
    for my, mx, ky, kx in np.ndindex(side, side, 4, 4):
        y, z = 2 * my + (3 - ky) - 1, 2 * mx + (3 - kx) - 1
        if 0 <= y < 2 * side and 0 <= z < 2 * side:
            out[:, y, z] += x[:, my, mx] @ kernel[ky, kx].T
    return out


@pytest.mark.parametrize("form", [conv_xla, conv_matmul])
def test_convolution_is_the_plain_loop(form):
    x, kernel = arrays((2, 6, 6, 3), (4, 4, 3, 5))
    np.testing.assert_allclose(
        form(x, kernel), slow_conv(np.asarray(x), np.asarray(kernel)), atol=1e-4
    )


@pytest.mark.parametrize("form", [conv_transpose_xla, conv_transpose_matmul])
def test_transposed_convolution_is_the_plain_loop(form):
    x, kernel = arrays((2, 3, 3, 5), (4, 4, 2, 5))
    np.testing.assert_allclose(
        form(x, kernel), slow_transpose(np.asarray(x), np.asarray(kernel)), atol=1e-4
    )


@pytest.mark.parametrize("side", [2, 8])
@pytest.mark.parametrize(
    ("xla", "matmul", "kernel_shape"),
    [
        (conv_xla, conv_matmul, (4, 4, 3, 6)),
        (conv_transpose_xla, conv_transpose_matmul, (4, 4, 6, 3)),
    ],
)
def test_forms_agree_in_values_and_gradients(xla, matmul, kernel_shape: tuple[int, ...], side: int):
    x, kernel = arrays((2, side, side, 3), kernel_shape)
    np.testing.assert_allclose(matmul(x, kernel), xla(x, kernel), atol=1e-4)

    def gradients(form):
        loss = lambda x, kernel: jnp.sin(form(x, kernel)).sum()  # noqa: E731
        return jax.grad(loss, (0, 1))(x, kernel)

    for ours, theirs in zip(gradients(matmul), gradients(xla)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


def test_forms_agree_with_flax():
    x, kernel = arrays((2, 8, 8, 3), (4, 4, 3, 5))
    layer = linen.Conv(5, (4, 4), strides=2, padding="SAME", use_bias=False)
    np.testing.assert_allclose(
        conv_matmul(x, kernel), layer.apply({"params": {"kernel": kernel}}, x), atol=1e-4
    )
    x, kernel = arrays((2, 4, 4, 5), (4, 4, 3, 5))
    layer = linen.ConvTranspose(3, (4, 4), strides=(2, 2), padding="SAME", use_bias=False)
    # flax stores [.., in, out], unflipped like ours
    expected = layer.apply({"params": {"kernel": kernel.swapaxes(2, 3)}}, x)
    np.testing.assert_allclose(conv_transpose_matmul(x, kernel), expected, atol=1e-4)


@pytest.mark.parametrize(("backend", "impl"), [("cpu", "matmul"), ("gpu", "xla"), ("tpu", "xla")])
def test_auto_chooses_by_backend(monkeypatch: pytest.MonkeyPatch, backend: str, impl: str):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    assert resolve_impl("auto") == impl
    assert resolve_impl("xla") == "xla"


@pytest.mark.parametrize(("transpose", "side"), [(False, 4), (True, 16)])
def test_layer_normalises_over_channels(transpose: bool, side: int):
    (x,) = arrays((2, 8, 8, 3))
    layers = {
        impl: Conv(3, 6, rngs=nnx.Rngs(0), transpose=transpose, norm=True, impl=impl)
        for impl in ("xla", "matmul")
    }
    outputs = {impl: np.asarray(layer(x)) for impl, layer in layers.items()}
    assert outputs["xla"].shape == (2, side, side, 6)
    np.testing.assert_allclose(outputs["matmul"], outputs["xla"], atol=1e-4)
    # SiLU of values with mean 0 and variance 1 over the channels: invert it for one pixel by its
    # defining equation.
    pre = np.asarray((conv_transpose_xla if transpose else conv_xla)(x, layers["xla"].kernel[...]))
    normed = (pre - pre.mean(-1, keepdims=True)) / np.sqrt(pre.var(-1, keepdims=True) + 1e-3)
    np.testing.assert_allclose(outputs["xla"], normed / (1 + np.exp(-normed)), atol=1e-4)


def test_layer_without_norm_adds_a_bias_only():
    (x,) = arrays((1, 4, 4, 3))
    layer = Conv(3, 2, rngs=nnx.Rngs(0), transpose=True, norm=False, impl="matmul")
    plain = layer(x)
    layer.bias[...] = jnp.array([1.0, -2.0])
    np.testing.assert_allclose(
        layer(x) - plain, np.broadcast_to([1.0, -2.0], (1, 8, 8, 2)), atol=1e-5
    )


@pytest.mark.parametrize("chunk", [5, 0])
def test_chunks_change_neither_values_nor_gradients(chunk: int):
    """At most five of twelve images at a time: chunks have equal size, so three chunks of four."""
    layers = [
        Conv(3, 4, rngs=nnx.Rngs(0), transpose=False, norm=True, impl="matmul"),
        Conv(4, 2, rngs=nnx.Rngs(1), transpose=True, norm=False, impl="matmul"),
    ]
    graph, params = nnx.split(nnx.List(layers))
    (x,) = arrays((12, 8, 8, 3))

    def loss(params: nnx.State, x: jax.Array, chunk: int):
        y = convolve(nnx.merge(graph, params), x, chunk)
        return (y**2).sum(), y

    def both(chunk: int):
        return jax.value_and_grad(loss, (0, 1), has_aux=True)(params, x, chunk)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), both(chunk), both(12)
    )
