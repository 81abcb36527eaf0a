"""Encoder and decoder between observations and vectors (docs/concepts/lambda.md#world-model).

Images [..., 64, 64, c] (uint8) are scaled to value / 255 - 0.5, vectors by symlog, which, unlike
the original's running normalisation, does not depend on the order of the data. Both are
reconstructed in that form.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from agents.nn.observations import Seen
from baselines.lambda_.config import ModelConfig
from baselines.layers import MLP, dense, xavier

ENCODER_KERNELS = (4, 4, 4, 4)  # 64 -> 31 -> 14 -> 6 -> 2 pixels a side
DECODER_KERNELS = (5, 5, 6, 6)  # 1 -> 5 -> 13 -> 30 -> 64
ENCODED_SIDE = 2


class Encoder(nnx.Module):
    """Four strided convolutions with ReLU for images, dense layers with ReLU for vectors.

    The embedding holds images first.
    """

    def __init__(self, config: ModelConfig, seen: Seen, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.seen = seen
        channels = [seen.channels, *(config.conv_depth * 2**i for i in range(4))]
        units, layers = config.vector_units, config.vector_layers
        self.convs = nnx.List(
            nnx.Conv(i, o, (k, k), 2, padding="VALID", kernel_init=xavier, dtype=dtype, rngs=rngs)
            for (i, o), k in zip(itertools.pairwise(channels), ENCODER_KERNELS, strict=True)
            if seen.images
        )
        self.mlp = (
            MLP(seen.width, units, layers, 0, jax.nn.relu, rngs=rngs, dtype=dtype)
            if seen.vectors
            else None
        )
        self.size = (ENCODED_SIDE**2 * channels[-1] if seen.images else 0) + (
            units if seen.vectors else 0
        )

    def __call__(self, obs: Mapping[str, jax.Array]) -> jax.Array:
        """[..., *shape] for each array -> [..., size]."""
        parts = []
        if self.seen.images:
            x = self.seen.picture(obs) - 0.5
            lead = x.shape[:-3]
            x = x.reshape(-1, *x.shape[-3:])
            for conv in self.convs:
                x = jax.nn.relu(conv(x))
            parts.append(x.reshape(*lead, -1))
        if self.mlp is not None:
            parts.append(self.mlp(self.seen.vector(obs)))
        return jnp.concatenate(parts, -1)


class Decoder(nnx.Module):
    """Features to means of the observation.

    Transposed convolutions for images, dense layers for vectors.
    """

    def __init__(self, config: ModelConfig, seen: Seen, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        self.seen = seen
        depth, feat_dim = config.conv_depth, config.feat_dim
        channels = [32 * depth, 4 * depth, 2 * depth, depth, seen.channels]
        units, layers = config.vector_units, config.vector_layers
        self.convs = nnx.List(
            nnx.ConvTranspose(
                i, o, (k, k), 2, padding="VALID", kernel_init=xavier, dtype=dtype, rngs=rngs
            )
            for (i, o), k in zip(itertools.pairwise(channels), DECODER_KERNELS, strict=True)
            if seen.images
        )
        self.image_in = (
            dense(feat_dim, channels[0], rngs=rngs, dtype=dtype) if seen.images else None
        )
        self.mlp = (
            MLP(feat_dim, units, layers, seen.width, jax.nn.relu, rngs=rngs, dtype=dtype)
            if seen.vectors
            else None
        )

    def picture(self, feat: jax.Array) -> jax.Array:
        """[..., F] -> [..., 64, 64, channels]."""
        assert self.image_in is not None
        x = self.image_in(feat).reshape(-1, 1, 1, self.image_in.out_features)
        for index, conv in enumerate(self.convs):
            x = conv(x)
            x = jax.nn.relu(x) if index < len(DECODER_KERNELS) - 1 else x
        return x.astype(jnp.float32).reshape(*feat.shape[:-1], *x.shape[1:])

    def log_probs(self, feat: jax.Array, obs: Mapping[str, jax.Array]) -> dict[str, jax.Array]:
        """Log-densities [...] of the observation under unit-variance normals around the means, up
        to constants.
        """
        logp = {}
        if self.seen.images:
            target = self.seen.picture(obs) - 0.5
            logp["image"] = -0.5 * jnp.square(self.picture(feat) - target).sum((-3, -2, -1))
        if self.mlp is not None:
            logp["vector"] = -0.5 * jnp.square(self.mlp(feat) - self.seen.vector(obs)).sum(-1)
        return logp
