"""The world model and its loss: RSSM, codec, reward, cost and continue heads.

docs/concepts/safedreamer.md#world-model

Shapes: B batch, T time, F feature size; all per-step quantities are [B, T].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec, ObsSpec
from agents.nn.distributions import (
    bernoulli_log_prob,
    bernoulli_mode,
    categorical_entropy,
    categorical_kl,
    mode_onehot,
    twohot_above,
    twohot_log_prob,
    twohot_mean,
)
from agents.nn.layers import MLP, Linear
from agents.nn.observations import check_obs, vector_keys
from agents.nn.residuals import Residuals, init_residuals, relative_error, update_residuals
from agents.safedreamer.codec import Decoder, Encoder
from agents.safedreamer.config import ModelConfig
from agents.safedreamer.geometry import HAZARDS, check_geometry, hazard_cost
from agents.safedreamer.rssm import RSSM, Latent
from agents.safedreamer.tracking import (
    Belief,
    after_motion,
    hazard_lidar,
    tracking_error,
    untracked,
)
from agents.world_models import cost_confusion


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


def kl_losses(
    post_logit: jax.Array, prior_logit: jax.Array, free_nats: float
) -> tuple[jax.Array, jax.Array]:
    """KL balancing with free nats, DreamerV3 (arXiv:2301.04104v1, Eq. 5).

    The dynamics and the representation term, each [B, T].

    dyn = max(free, KL(sg(post) || prior));   rep = max(free, KL(post || sg(prior)))
    """
    sg = jax.lax.stop_gradient
    dyn = jnp.maximum(free_nats, categorical_kl(sg(post_logit), prior_logit))
    rep = jnp.maximum(free_nats, categorical_kl(post_logit, sg(prior_logit)))
    return dyn, rep


def cost_weights(cost: jax.Array, weight: float, share: float) -> jax.Array:
    """Weights of rows in the cost head's loss, shaped like `cost` [B, T].

    The n rows that cost at least 1 have the weight

        max(weight, share / (1 - share) * m / n),

    the other m rows have the weight 1. (The release has `share` 0.)
    """
    costly = cost >= 1.0
    if share:  # if 0, `weight` stays a constant and the compiled program is unchanged
        n = costly.sum()
        least = share / (1.0 - share) * (costly.size - n) / jnp.maximum(n, 1)
        return jnp.where(costly, jnp.maximum(weight, least), 1.0)
    return jnp.where(costly, weight, 1.0)


def fresh_residuals(config: ModelConfig, obs: ObsSpec) -> Residuals | None:
    """Initial residuals of the vector loss.

    None if the loss is a plain sum.
    """
    if config.vector_loss == "sum":
        return None
    return init_residuals({name: obs[name].shape[0] for name in vector_keys(obs)})


def reconstruction_log_probs(
    model: WorldModel, feat: jax.Array, batch: Mapping[str, jax.Array], residuals: Residuals | None
) -> tuple[dict[str, jax.Array], Residuals | None]:
    """Minus the reconstruction error of each array, [B, T], and the next residuals.

    The residuals include the errors of this batch.
    """
    if residuals is None:
        return model.decoder.log_probs(feat, batch), None
    errors = model.decoder.square_errors(feat, batch)
    vectors = {k: errors[k] for k in model.decoder.vectors}
    residuals = update_residuals(residuals, vectors, model.config.residual_decay)
    logp = {k: -errors[k].sum((-3, -2, -1)) for k in model.decoder.images}
    return logp | {
        k: -x for k, x in relative_error(residuals, vectors, model.config.residual_floor).items()
    }, residuals


def head_log_probs(
    model: WorldModel, feat: jax.Array, batch: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Log-likelihood of the data under each head, [B, T].

    Reconstructions are minus the squared error summed over the event.
    """
    return model.decoder.log_probs(feat, batch) | _other_log_probs(model, feat, batch)


def _other_log_probs(
    model: WorldModel, feat: jax.Array, batch: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """Log-likelihoods of everything but the observation, [B, T]."""
    logp: dict[str, jax.Array] = {}
    logp["reward"] = twohot_log_prob(model.reward_head(feat), batch["reward"])
    logp["cont"] = bernoulli_log_prob(model.cont_head(feat)[..., 0], 1.0 - batch["is_terminal"])
    if model.cost_head is not None:
        logp["cost"] = twohot_log_prob(model.cost_head(feat), batch["cost"])
    if model.motion_head is not None:
        seen = model.hazards_in(batch)
        error = tracking_error(
            after_motion(seen[:, :-1], model.motion_head(feat[:, 1:])), seen[:, 1:]
        )
        # The step from the last state of an episode to the first of the next is no motion.
        logp["motion"] = -jnp.pad(jnp.where(batch["is_first"][:, 1:], 0.0, error), ((0, 0), (1, 0)))
    return logp


class ModelOutput(NamedTuple):
    """Auxiliary output of the model loss.

    beliefs [B, T, ...], scalar metrics, and the next residuals (None with a plain sum).
    """

    belief: Belief
    metrics: dict[str, jax.Array]
    residuals: Residuals | None = None


def model_loss(
    model: WorldModel,
    batch: Mapping[str, jax.Array],
    key: jax.Array,
    residuals: Residuals | None = None,
) -> tuple[jax.Array, ModelOutput]:
    """Mean over B and T of KL terms and weighted negative log-likelihoods
    (docs/concepts/safedreamer.md#model-loss).

    With `residuals`, vector errors are relative to them; see `fresh_residuals`.
    """
    config = model.config
    belief, prior_logit = model.observe(batch, key)
    post, feat = belief.latent, belief.feat
    dyn, rep = kl_losses(post.logit, prior_logit, config.free_nats)
    logp, residuals = reconstruction_log_probs(model, feat, batch, residuals)
    logp |= _other_log_probs(model, feat, batch)
    scales = dict.fromkeys(model.encoder.images, config.image_scale)
    scales |= dict.fromkeys(model.encoder.vectors, config.vector_scale) | {
        "motion": config.scale_of_motion
    }
    weights: dict[str, float | jax.Array] = {name: scales.get(name, 1.0) for name in logp}
    if "cost" in logp:
        weights["cost"] = cost_weights(batch["cost"], config.cost_weight, config.cost_share)
    terms = {name: -value * weights[name] for name, value in logp.items()}
    terms |= {"dyn": config.dyn_scale * dyn, "rep": config.rep_scale * rep}
    loss = jnp.stack(list(terms.values())).sum(0).mean()
    metrics = {f"model/{name}_loss": value.mean() for name, value in terms.items()}
    metrics |= {
        "model/loss": loss,
        "model/post_entropy": categorical_entropy(post.logit).mean(),
        "model/prior_entropy": categorical_entropy(prior_logit).mean(),
    }
    if model.tracks:
        foreseen = model.foreseen_cost(post, prior_logit, belief.hazards)
        metrics |= cost_confusion(foreseen, batch["cost"][:, 1:], ~batch["is_first"][:, 1:])
    elif config.cost_source != "none":
        metrics |= cost_confusion(model.cost(jax.lax.stop_gradient(belief)), batch["cost"])
    return loss, ModelOutput(belief, metrics, residuals)
