"""The loss of the world model (docs/concepts/safedreamer.md#model-loss).

Shapes: B batch, T time; all per-step quantities are [B, T].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.api import ObsSpec
from agents.nn.distributions import (
    bernoulli_log_prob,
    categorical_entropy,
    categorical_kl,
    twohot_log_prob,
)
from agents.nn.observations import vector_keys
from agents.nn.residuals import Residuals, init_residuals, relative_error, update_residuals
from agents.safedreamer.config import ModelConfig
from agents.safedreamer.tracking import Belief, after_motion, tracking_error
from agents.safedreamer.world_model import WorldModel
from agents.world_models import cost_confusion


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
