"""Encoder and decoder between observations and vectors.

Images through convolutions as published, vectors through an MLP.

Images are uint8 [..., 64, 64, c] and compared in 0..1; vectors are compared in symlog. The branch
for vectors is ours.
"""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
from flax import nnx

from agents.nn.gaussian import normal_log_density
from agents.nn.observations import Seen
from baselines.layers import MLP, leaky, xavier
from baselines.safe_slac.config import LatentConfig

# Kernel, stride, padding (and for transposes the output padding), in PyTorch's convention.
_ENCODER = ((5, 2, 2), (3, 2, 1), (3, 2, 1), (3, 2, 1), (4, 1, 0))
_DECODER = ((4, 1, 0, 0), (3, 2, 1, 1), (3, 2, 1, 1), (3, 2, 1, 1), (5, 2, 2, 1))


class Encoder(nnx.Module):
    """Targets [..., *shape] -> feature [..., F].

    Features of images and vectors are concatenated.
    """

    def __init__(self, config: LatentConfig, seen: Seen, *, rngs: nnx.Rngs):
        channels, width = seen.channels, seen.width
        self.size = config.feature * (bool(channels) + bool(width))
        depth = config.conv_depth
        if channels:
            sizes = [channels, depth, 2 * depth, 4 * depth, 8 * depth, config.feature]
            self.convs = nnx.List(
                nnx.Conv(i, o, (k, k), s, padding=((p, p), (p, p)), kernel_init=xavier, rngs=rngs)
                for (i, o), (k, s, p) in zip(itertools.pairwise(sizes), _ENCODER, strict=True)
            )
        if width:
            self.mlp = MLP(width, config.units, config.layers, config.feature, rngs=rngs)

    def __call__(self, picture: jax.Array | None, vector: jax.Array | None) -> jax.Array:
        parts = []
        if picture is not None:
            lead, x = picture.shape[:-3], picture.reshape(-1, *picture.shape[-3:])
            for conv in self.convs:
                x = jax.nn.elu(conv(x))
            parts.append(x.reshape(*lead, -1))
        if vector is not None:
            parts.append(jax.nn.elu(self.mlp(vector)))
        return jnp.concatenate(parts, -1)


class Decoder(nnx.Module):
    """Latent [..., Z] -> means of the targets.

    LeakyReLU after every layer of images, the last included, as published.
    """

    def __init__(self, config: LatentConfig, seen: Seen, *, rngs: nnx.Rngs):
        channels, width = seen.channels, seen.width
        depth = config.conv_depth
        if channels:
            sizes = [config.size, 8 * depth, 4 * depth, 2 * depth, depth, channels]
            self.convs = nnx.List(
                nnx.ConvTranspose(
                    i,
                    o,
                    (k, k),
                    (s, s),
                    padding=((k - 1 - p, k - 1 - p + extra),) * 2,
                    kernel_init=xavier,
                    rngs=rngs,
                )
                for (i, o), (k, s, p, extra) in zip(
                    itertools.pairwise(sizes), _DECODER, strict=True
                )
            )
        if width:
            self.mlp = MLP(config.size, config.units, config.layers, width, rngs=rngs)
        self.channels, self.width = channels, width
        self.variances = config.image_variance, config.vector_variance

    def __call__(self, z: jax.Array) -> tuple[jax.Array | None, jax.Array | None]:
        picture = vector = None
        if self.channels:
            x = z.reshape(-1, 1, 1, z.shape[-1])
            for conv in self.convs:
                x = leaky(conv(x))
            picture = x.reshape(*z.shape[:-1], *x.shape[1:])
        if self.width:
            vector = self.mlp(z)
        return picture, vector

    def log_prob(
        self, z: jax.Array, picture: jax.Array | None, vector: jax.Array | None
    ) -> jax.Array:
        """Log-density of the targets [B, T, ...] given z [B, T, Z], summed over pixels and entries:
        [B, T].
        """
        total, targets = jnp.zeros(z.shape[:-1]), (picture, vector)
        for mean, target, variance in zip(self(z), targets, self.variances, strict=True):
            if mean is not None and target is not None:
                total += normal_log_density(target, mean, variance**0.5).sum(
                    tuple(range(2, mean.ndim))
                )
        return total
