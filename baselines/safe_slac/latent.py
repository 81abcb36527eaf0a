"""Two-level latent model over windows of observations (SLAC, arXiv:1907.00953; sizes of Safe SLAC,
arXiv:2210.01801; docs/concepts/safe_slac.md#latent-model).

    q(z1_0 | x_0),  q(z1_t | x_t, z2_{t-1}, a_{t-1});
    p(z1_0) = N(0, I),  p(z1_t | z2_{t-1}, a_{t-1})
    p(z2_0 | z1_0), p(z2_t | z1_t, z2_{t-1}, a_{t-1}) in prior and posterior alike, so z2 has no KL

At the start of an episode within a window, the latent restarts from that observation.
Shapes: B windows, T frames, A action, F feature, Z = z1 + z2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.nn.observations import Seen
from baselines.layers import MLP, Gaussian, Normal
from baselines.safe_slac.codec import Decoder, Encoder
from baselines.safe_slac.config import LatentConfig


class Latent(NamedTuple):
    """Samples of both levels: z1 [..., z1], z2 [..., z2]."""

    z1: jax.Array
    z2: jax.Array

    @property
    def z(self) -> jax.Array:
        """[..., Z], the input of all heads, actor and critics."""
        return jnp.concatenate([self.z1, self.z2], -1)


class Step(NamedTuple):
    """A sampled latent with posterior and prior of its lower level."""

    latent: Latent
    post: Normal
    prior: Normal


def _where(mask: jax.Array, a: Normal, b: Normal) -> Normal:
    return jax.tree.map(lambda x, y: jnp.where(mask[:, None], x, y), a, b)


class LatentModel(nnx.Module):
    """Encoder, decoder, both levels' Gaussians, reward head and cost head."""

    def __init__(self, config: LatentConfig, env: EnvSpec, *, rngs: nnx.Rngs):
        self.seen = Seen.of(env.obs, config.cameras == "all")
        self.encoder = Encoder(config, self.seen, rngs=rngs)
        self.decoder = Decoder(config, self.seen, rngs=rngs)
        feature, action, sizes = self.encoder.size, env.action_dim, (config.units, config.layers)
        self.post1_first = Gaussian(feature, config.z1, *sizes, rngs=rngs)
        self.post1 = Gaussian(feature + config.z2 + action, config.z1, *sizes, rngs=rngs)
        self.prior1 = Gaussian(config.z2 + action, config.z1, *sizes, rngs=rngs)
        self.level2_first = Gaussian(config.z1, config.z2, *sizes, rngs=rngs)
        self.level2 = Gaussian(config.z1 + config.z2 + action, config.z2, *sizes, rngs=rngs)
        self.reward = Gaussian(
            2 * config.size + action, 1, *sizes, rngs=rngs, min_std=config.reward_std_min
        )
        self.cost = MLP(2 * config.size + action, *sizes, 1, rngs=rngs)
        self.config = config

    def targets(self, obs: Mapping[str, jax.Array]) -> tuple[jax.Array | None, jax.Array | None]:
        """Inputs and reconstruction targets: images [..., 64, 64, c] in 0..1 and symlog of vectors
        [..., V]; None for a missing kind.
        """
        seen = self.seen
        picture = seen.picture(obs) if seen.images else None
        return picture, seen.vector(obs) if seen.vectors else None

    def obs_step(
        self,
        prev_z2: jax.Array,
        prev_action: jax.Array,
        feature: jax.Array,
        is_first: jax.Array,
        noise: jax.Array,
    ) -> Step:
        """One filtering step of rows [B, ...]; where `is_first`, from the observation alone.

        Both latents are sampled with `noise` [B, Z].
        """
        noise1, noise2 = jnp.split(noise, [self.config.z1], -1)
        post = _where(
            is_first, self.post1_first(feature), self.post1(feature, prev_z2, prev_action)
        )
        prior = self.prior1(prev_z2, prev_action)
        prior = _where(
            is_first, Normal(jnp.zeros_like(prior.mean), jnp.ones_like(prior.std)), prior
        )
        z1 = post.sample(noise1)
        level2 = _where(is_first, self.level2_first(z1), self.level2(z1, prev_z2, prev_action))
        return Step(Latent(z1, level2.sample(noise2)), post, prior)

    def observe(
        self, feature: jax.Array, action: jax.Array, is_first: jax.Array, key: jax.Array
    ) -> Step:
        """Posterior samples, posteriors and priors [B, T, ...] along windows.

        `action[:, t]` is taken after frame t.

        Every window starts from its first frame alone, as published, without a previous latent.
        """
        batch, length = is_first.shape
        is_first = is_first.at[:, 0].set(True)
        prev_action = jnp.concatenate([jnp.zeros_like(action[:, :1]), action[:, :-1]], 1)
        noise = jax.random.normal(key, (length, batch, self.config.size))
        inputs = [x.swapaxes(0, 1) for x in (prev_action, feature, is_first)]

        def step(prev_z2, xs):
            out = self.obs_step(prev_z2, *xs)
            return out.latent.z2, out

        _, steps = jax.lax.scan(step, jnp.zeros((batch, self.config.z2)), (*inputs, noise))
        return jax.tree.map(lambda x: x.swapaxes(0, 1), steps)
