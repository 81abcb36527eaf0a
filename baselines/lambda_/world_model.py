"""The world model and its loss (docs/concepts/lambda.md#world-model).

`Dynamics` is the part used by imagination; only its parameters are sampled (swag.py).
Shapes: B batch, T time; F features; per-step quantities are [B, T].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.nn.distributions import bernoulli_log_prob
from agents.nn.gaussian import normal_kl
from agents.nn.observations import Seen
from agents.world_models import cost_confusion
from baselines.lambda_.codec import Decoder, Encoder
from baselines.lambda_.config import ModelConfig
from baselines.lambda_.rssm import Latent, Posterior, Transition, observe, zero_latent
from baselines.layers import MLP


class Dynamics(nnx.Module):
    """Transition, and the heads of reward, cost and termination."""

    def __init__(self, config: ModelConfig, action_dim: int, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        def head() -> MLP:
            return MLP(
                config.feat_dim, config.head_units, config.head_layers, 1, rngs=rngs, dtype=dtype
            )

        self.transition = Transition(config, action_dim, rngs=rngs, dtype=dtype)
        self.reward_head, self.cost_head, self.terminal_head = head(), head(), head()

    def reward(self, feat: jax.Array) -> jax.Array:
        """Expected reward on arriving at a state, [..., F] -> [...]."""
        return self.reward_head(feat)[..., 0]

    def cost_logit(self, feat: jax.Array) -> jax.Array:
        """Logit of any cost on arriving at a state, [..., F] -> [...]."""
        return self.cost_head(feat)[..., 0]

    def terminal_logit(self, feat: jax.Array) -> jax.Array:
        """Logit of a state being terminal, [..., F] -> [...]."""
        return self.terminal_head(feat)[..., 0]


class WorldModel(nnx.Module):
    """Everything trained on replayed sequences."""

    def __init__(self, config: ModelConfig, env: EnvSpec, *, rngs: nnx.Rngs, dtype: jnp.dtype):
        seen = Seen.of(env.obs, config.cameras == "all")
        self.dynamics = Dynamics(config, env.action_dim, rngs=rngs, dtype=dtype)
        self.encoder = Encoder(config, seen, rngs=rngs, dtype=dtype)
        self.posterior = Posterior(config, self.encoder.size, rngs=rngs, dtype=dtype)
        self.decoder = Decoder(config, seen, rngs=rngs, dtype=dtype)


def balanced_kl(
    post: Latent, prior: tuple[jax.Array, jax.Array], balance: float, free_nats: float
) -> jax.Array:
    """KL balancing with free nats on the batch's mean, for each side.

    `prior` is mean and std [B, T, Z], the result a scalar.

    (1 - balance) max(E KL(q || sg p), free) + balance max(E KL(sg q || p), free)
    """
    sg = jax.lax.stop_gradient
    mean, std = prior
    of_post = jnp.maximum(normal_kl(post.mean, post.std, sg(mean), sg(std)).mean(), free_nats)
    of_prior = jnp.maximum(normal_kl(sg(post.mean), sg(post.std), mean, std).mean(), free_nats)
    return (1.0 - balance) * of_post + balance * of_prior


def weighted_cost_log_prob(logit: jax.Array, cost: jax.Array, weight: float) -> jax.Array:
    """Log-likelihood [B, T] of "this step costs at least 1", times `weight` where it does."""
    costly = (cost >= 1.0).astype(jnp.float32)
    return jnp.where(costly > 0, weight, 1.0) * bernoulli_log_prob(logit, costly)


class ModelOutput(NamedTuple):
    """Auxiliary output of the model loss: posterior states [B, T-1, ...] and scalar metrics."""

    post: Latent
    metrics: dict[str, jax.Array]


def model_loss(
    model: WorldModel, config: ModelConfig, batch: Mapping[str, jax.Array], key: jax.Array
) -> tuple[jax.Array, ModelOutput]:
    """kl_scale * KL - mean log p of observation, reward, termination and (weighted) cost, on rows
    1..T-1 of each sequence.

    Only the action of row 0 is used: a sequence starts from the zero state before it, as in the
    original.
    """
    rows = {name: value[:, 1:] for name, value in batch.items()}
    prev_action = batch["action"][:, :-1]
    lead, dynamics = rows["is_first"].shape, model.dynamics
    noise = jax.random.normal(key, (*lead, config.stoch))
    start = zero_latent(config, lead[:1])
    embed = model.encoder(rows)
    post = observe(
        dynamics.transition, model.posterior, start, prev_action, embed, rows["is_first"], noise
    )
    feat = post.feat
    kl = config.kl_scale * balanced_kl(
        post, dynamics.transition.prior(post.deter), config.kl_balance, config.free_nats
    )
    logp = model.decoder.log_probs(feat, rows)
    if "vector" in logp:
        logp["vector"] = config.vector_scale * logp["vector"]
    logp["reward"] = -0.5 * config.reward_scale * jnp.square(dynamics.reward(feat) - rows["reward"])
    logp["terminal"] = bernoulli_log_prob(dynamics.terminal_logit(feat), rows["is_terminal"])
    cost_logit = dynamics.cost_logit(feat)
    logp["cost"] = weighted_cost_log_prob(cost_logit, rows["cost"], config.cost_weight)
    terms = {name: -value.mean() for name, value in logp.items()} | {"kl": kl}
    loss = jnp.stack(list(terms.values())).sum()
    metrics = {f"model/{name}_loss": value for name, value in terms.items()} | {"model/loss": loss}
    metrics |= cost_confusion(jax.nn.sigmoid(cost_logit), (rows["cost"] >= 1.0).astype(jnp.float32))
    return loss, ModelOutput(post, metrics)
