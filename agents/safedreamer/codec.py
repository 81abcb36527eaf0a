"""Encoder and decoder between observations and vectors.

docs/concepts/safedreamer.md#encoder-and-decoder

Observation arrays with three axes are images [..., 64, 64, c] (uint8 in, 0..1 out), those with one
axis are vectors.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import ObsSpec
from agents.nn.conv import Conv, convolve
from agents.nn.distributions import symexp, symlog
from agents.nn.layers import MLP, Linear
from agents.nn.observations import image_keys, vector_keys, vector_of
from agents.safedreamer.config import ModelConfig

MIN_SIDE = 4  # pixels a side after four halvings


class Encoder(nnx.Module):
    """Images through four strided convolutions, vectors through symlog and dense blocks.

    The embedding holds images first.
    """

    def __init__(self, config: ModelConfig, obs: ObsSpec, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.images, self.vectors = image_keys(obs), vector_keys(obs)
        self.size = 0
        if self.images:
            pixel = sum(obs[k].shape[-1] for k in self.images)
            channels = [pixel, *(config.conv_depth * 2**i for i in range(4))]
            conv = partial(Conv, transpose=False, norm=True, impl=config.conv_impl, dtype=dtype)
            self.convs = nnx.List(conv(i, o, rngs=rngs) for i, o in itertools.pairwise(channels))
            self.size += MIN_SIDE * MIN_SIDE * channels[-1]
        if self.vectors:
            width = sum(obs[k].shape[0] for k in self.vectors)
            self.mlp = MLP(width, config.vector_units, config.vector_layers, rngs=rngs, dtype=dtype)
            self.size += config.vector_units
        self.conv_chunk = config.conv_chunk
        self.dtype = dtype

    def __call__(self, obs: Mapping[str, jax.Array]) -> jax.Array:
        """[..., *shape] for each array -> [..., size]."""
        parts = []
        if self.images:
            x = jnp.concatenate([obs[k] for k in self.images], -1)
            lead = x.shape[:-3]
            x = (x.astype(jnp.float32) / 255.0 - 0.5).astype(self.dtype).reshape(-1, *x.shape[-3:])
            x = convolve(self.convs, x, self.conv_chunk)
            parts.append(x.reshape(*lead, -1))
        if self.vectors:
            parts.append(self.mlp(vector_of(obs, self.vectors)))
        return jnp.concatenate(parts, -1)


class Decoder(nnx.Module):
    """Reconstructs observations from features: images around 0..1, vectors raw."""

    def __init__(
        self, config: ModelConfig, obs: ObsSpec, feat_dim: int, *, rngs: nnx.Rngs, dtype: jnp.dtype
    ):
        self.images, self.vectors = image_keys(obs), vector_keys(obs)
        self.conv_chunk = config.conv_chunk
        self.symlog = config.vector_target == "symlog"
        self.splits = {k: obs[k].shape[-1] for k in self.images}
        if self.images:
            depth = config.conv_depth
            channels = [8 * depth, 4 * depth, 2 * depth, depth, sum(self.splits.values())]
            self.image_in = Linear(
                feat_dim, MIN_SIDE * MIN_SIDE * channels[0], rngs=rngs, dtype=dtype
            )
            conv = partial(Conv, transpose=True, impl=config.conv_impl, rngs=rngs, dtype=dtype)
            self.convs = nnx.List(
                conv(i, o, norm=n < 3) for n, (i, o) in enumerate(itertools.pairwise(channels))
            )
        if self.vectors:
            units = config.vector_units
            self.mlp = MLP(feat_dim, units, config.vector_layers, rngs=rngs, dtype=dtype)
            self.vector_out = nnx.Dict(
                {k: Linear(units, obs[k].shape[0], rngs=rngs, dtype=dtype) for k in self.vectors}
            )

    def __call__(self, feat: jax.Array) -> dict[str, jax.Array]:
        """[..., F] -> {name: [..., *shape]} in float32."""
        return {**self.decode_images(feat), **self.decode_vectors(feat)}

    def decode_images(self, feat: jax.Array) -> dict[str, jax.Array]:
        """Reconstructed images; empty if there are none."""
        if not self.images:
            return {}
        lead = feat.shape[:-1]
        x = self.image_in(feat).reshape(
            -1, MIN_SIDE, MIN_SIDE, self.image_in.kernel.shape[-1] // MIN_SIDE**2
        )
        x = convolve(self.convs, x, self.conv_chunk)
        x = x.astype(jnp.float32).reshape(*lead, *x.shape[1:]) + 0.5
        ends = list(itertools.accumulate(self.splits.values()))[:-1]
        return dict(zip(self.images, jnp.split(x, ends, -1), strict=True))

    def decode_vectors(self, feat: jax.Array) -> dict[str, jax.Array]:
        """Reconstructed vectors in their own units; empty if there are none."""
        return {k: symexp(x) if self.symlog else x for k, x in self.predict_vectors(feat).items()}

    def predict_vectors(self, feat: jax.Array) -> dict[str, jax.Array]:
        """Vectors in the form compared by the loss: raw, or symlog."""
        if not self.vectors:
            return {}
        x = self.mlp(feat)
        return {k: self.vector_out[k](x).astype(jnp.float32) for k in self.vectors}

    def square_errors(self, feat: jax.Array, obs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Squared errors [B, T, *shape] of each array.

        Images in 0..1, vectors as `predict_vectors`.
        """
        targets = {k: obs[k].astype(jnp.float32) / 255.0 for k in self.images}
        targets |= {k: symlog(obs[k]) if self.symlog else obs[k] for k in self.vectors}
        means = {**self.decode_images(feat), **self.predict_vectors(feat)}
        return {k: jnp.square(mean - targets[k]) for k, mean in means.items()}

    def log_probs(self, feat: jax.Array, obs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Minus the squared error summed over the event, [B, T] for each array."""
        return {
            k: -error.sum(tuple(range(2, error.ndim)))
            for k, error in self.square_errors(feat, obs).items()
        }
