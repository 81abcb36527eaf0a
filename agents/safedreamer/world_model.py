"""The world model: RSSM, codec, reward, cost and continue heads.

docs/concepts/safedreamer.md#world-model

Shapes: B batch, T time, F features, V input of actor and critics, A actions.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.nn.distributions import bernoulli_mode, mode_onehot, twohot_above, twohot_mean
from agents.nn.layers import MLP, Linear
from agents.nn.observations import check_obs
from agents.safedreamer.codec import Decoder, Encoder
from agents.safedreamer.config import ModelConfig
from agents.safedreamer.geometry import HAZARDS, check_geometry, hazard_cost
from agents.safedreamer.rssm import RSSM, Latent
from agents.safedreamer.tracking import Belief, after_motion, hazard_lidar, untracked


class Head(nnx.Module):
    """Dense blocks and a linear layer, [..., F] -> [..., outputs] logits in float32.

    With `outscale` 0 the outputs are initially zero.
    """

    def __init__(
        self,
        fan_in: int,
        outputs: int,
        config: ModelConfig,
        *,
        rngs: nnx.Rngs,
        outscale: float = 1.0,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.mlp = MLP(fan_in, config.head_units, config.head_layers, rngs=rngs, dtype=dtype)
        self.out = Linear(config.head_units, outputs, rngs=rngs, outscale=outscale, dtype=dtype)

    def __call__(self, feat: jax.Array) -> jax.Array:
        return self.out(self.mlp(feat)).astype(jnp.float32)


class WorldModel(nnx.Module):
    """Everything trained on replayed sequences."""

    def __init__(self, config: ModelConfig, env: EnvSpec, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        check_obs(env.obs)
        self.tracks = config.cost_source == "tracked"
        if self.tracks or config.cost_source == "geometry":
            check_geometry(env, config.cost_source)
        self.config = config
        self.encoder = Encoder(config, env.obs, rngs=rngs, dtype=dtype)
        self.rssm = RSSM(config, env.action_dim, self.encoder.size, rngs=rngs, dtype=dtype)
        self.feat_dim = config.deter + config.stoch * config.classes
        self.decoder = Decoder(config, env.obs, self.feat_dim, rngs=rngs, dtype=dtype)
        self.reward_head = Head(
            self.feat_dim, config.bins, config, rngs=rngs, outscale=0.0, dtype=dtype
        )
        self.cont_head = Head(self.feat_dim, 1, config, rngs=rngs, dtype=dtype)
        self.cost_head = (
            Head(self.feat_dim, config.bins, config, rngs=rngs, dtype=dtype)
            if config.cost_source == "head"
            else None
        )
        self.motion_head = (
            Head(self.feat_dim, 3, config, rngs=rngs, outscale=0.0, dtype=dtype)
            if self.tracks
            else None
        )
        self.hazards = env.layout.get(HAZARDS)
        self.view_dim = self.feat_dim + (config.lidar_bins if self.tracks else 0)

    def observe(self, rows: Mapping[str, jax.Array], key: jax.Array) -> tuple[Belief, jax.Array]:
        """Beliefs [B, T, ...] after each of the rows [B, T, ...], and the prior's logits; see
        `RSSM.observe`.
        """
        obs = {k: rows[k] for k in (*self.encoder.images, *self.encoder.vectors)}
        post, prior_logit = self.rssm.observe(
            self.encoder(obs), rows["action"], rows["is_first"], key
        )
        return self.belief(post, obs), prior_logit

    def belief(self, latent: Latent, obs: Mapping[str, jax.Array]) -> Belief:
        """The belief after an observation [..., *shape].

        It holds the posterior latent and the observed positions of tracked hazards.
        """
        if not self.tracks:
            return untracked(latent)
        return Belief(latent, self.hazards_in(obs))

    def hazards_in(self, arrays: Mapping[str, jax.Array]) -> jax.Array:
        """Hazard positions in a flat observation or its reconstruction, metres in the robot's
        frame, [..., 2 * hazards].
        """
        (name,) = self.encoder.vectors
        return arrays[name][..., self.hazards].astype(jnp.float32)

    def step(self, belief: Belief, action: jax.Array, noise: jax.Array | None) -> Belief:
        """The belief one predicted step after `action` [..., A]; see `RSSM.img_step`."""
        latent = self.rssm.img_step(belief.latent, action, noise)
        if self.motion_head is None:
            return Belief(latent, belief.hazards)
        return Belief(latent, after_motion(belief.hazards, self.motion_head(latent.feat)))

    def view(self, belief: Belief) -> jax.Array:
        """Input of actor and critics, [..., V].

        The features and, if hazards are tracked, their lidar.
        """
        if not self.tracks:
            return belief.feat
        return jnp.concatenate(
            [belief.feat, hazard_lidar(belief.hazards, self.config.lidar_bins)], -1
        )

    def reward(self, feat: jax.Array) -> jax.Array:
        """Expected reward on arriving at a state, [...]."""
        return twohot_mean(self.reward_head(feat))

    def cont(self, feat: jax.Array) -> jax.Array:
        """Mode of the continue head: 0.0 or 1.0, [...]."""
        return bernoulli_mode(self.cont_head(feat)[..., 0])

    def cost(self, belief: Belief) -> jax.Array:
        """Expected cost on arriving at a state, [...], from the configured source."""
        if self.cost_head is not None:
            return twohot_mean(self.cost_head(belief.feat))
        if self.config.cost_source == "none":
            return jnp.zeros(belief.latent.deter.shape[:-1], jnp.float32)
        positions = (
            belief.hazards
            if self.tracks
            else self.hazards_in(self.decoder.decode_vectors(belief.feat))
        )
        return hazard_cost(positions, self.config.hazard_radius, self.config.hazard_softness)

    def foreseen_cost(self, post: Latent, prior_logit: jax.Array, hazards: jax.Array) -> jax.Array:
        """Cost of tracked hazards at rows 1..T-1, [B, T-1], predicted one row earlier from observed
        positions [B, T, 2 * hazards].

        The motion is that of the prior's mode. (`cost` of a posterior belief would use the hazards
        just observed, which is geometry, not prediction.)
        """
        assert self.motion_head is not None
        prior = post._replace(stoch=mode_onehot(jnp.exp(prior_logit)), logit=prior_logit)
        positions = after_motion(hazards[:, :-1], self.motion_head(prior.feat[:, 1:]))
        return hazard_cost(positions, self.config.hazard_radius, self.config.hazard_softness)

    def cost_probability(self, belief: Belief) -> jax.Array:
        """Probability of any cost on arriving at a state, [...], from the cost head.

        Costs are whole units, so this is the probability of a cost above 0.5.

        Without a cost head it is the (soft) count of hazards, at most 1.
        """
        if self.cost_head is not None:
            return twohot_above(self.cost_head(belief.feat), 0.5)
        return jnp.minimum(self.cost(belief), 1.0)
