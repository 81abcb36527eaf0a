"""Recurrent state-space model: the latent dynamics of SafeDreamer (Hafner et al.,
arXiv:1811.04551, with categorical latents).

docs/concepts/safedreamer.md#recurrent-state-space-model

Shapes: B batch, T time; D deterministic size; S categorical variables of C classes; A action; E
embedding.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.nn.distributions import mode_onehot, onehot_from_uniform, unimix_probs
from agents.nn.layers import DenseBlock, LayerNorm, Linear
from agents.safedreamer.config import ModelConfig


class Latent(NamedTuple):
    """deter [..., D]; stoch [..., S, C] one-hot.

    logit [..., S, C] log-probabilities that stoch was drawn from.
    """

    deter: jax.Array
    stoch: jax.Array
    logit: jax.Array

    @property
    def feat(self) -> jax.Array:
        """[..., D + S * C], the input of every head."""
        return jnp.concatenate([self.deter, flatten_stoch(self.stoch)], -1)


def flatten_stoch(stoch: jax.Array) -> jax.Array:
    """[..., S, C] -> [..., S * C]."""
    return stoch.reshape(*stoch.shape[:-2], -1)


class RSSM(nnx.Module):
    """GRU core with categorical latents.

    `img_step` predicts (prior), `obs_step` corrects with an embedded observation (posterior).
    """

    def __init__(
        self,
        config: ModelConfig,
        action_dim: int,
        embed_dim: int,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype,
    ):
        flat = config.stoch * config.classes
        units, deter = config.units, config.deter
        self.img_in = DenseBlock(flat + action_dim, units, rngs=rngs, dtype=dtype)
        self.gru = Linear(deter + units, 3 * deter, rngs=rngs, bias=False, dtype=dtype)
        self.gru_norm = LayerNorm(3 * deter)
        self.img_out = DenseBlock(deter, units, rngs=rngs, dtype=dtype)
        self.img_stats = Linear(units, flat, rngs=rngs, dtype=dtype)
        self.obs_out = DenseBlock(deter + embed_dim, units, rngs=rngs, dtype=dtype)
        self.obs_stats = Linear(units, flat, rngs=rngs, dtype=dtype)
        self.initial_deter = nnx.Param(jnp.zeros((deter,), jnp.float32))
        self.config = config

    def initial(self, batch: int) -> Latent:
        """Learned initial state [B, ...].

        deter = tanh(parameter); stoch = mode of the prior at deter, which passes no gradient.
        """
        deter = jnp.tanh(self.initial_deter[...])[None]
        probs = self.prior_probs(deter)
        row = Latent(deter, mode_onehot(probs), jnp.log(probs))
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (batch, *x.shape[1:])), row)

    def prior_probs(self, deter: jax.Array) -> jax.Array:
        """Probabilities of the prior [..., S, C] at a deterministic state, uniform mix included."""
        return self._probs(self.img_stats(self.img_out(deter)))

    def _probs(self, raw: jax.Array) -> jax.Array:
        return unimix_probs(
            raw.reshape(*raw.shape[:-1], self.config.stoch, self.config.classes), self.config.unimix
        )

    def next_deter(self, deter: jax.Array, stoch: jax.Array, action: jax.Array) -> jax.Array:
        """GRU step [..., D]; the action is first divided by max(1, |a|), constant in gradients."""
        action = action / jax.lax.stop_gradient(jnp.maximum(1.0, jnp.abs(action)))
        x = self.img_in(jnp.concatenate([flatten_stoch(stoch), action], -1))
        gates = self.gru_norm(self.gru(jnp.concatenate([deter.astype(x.dtype), x], -1))).astype(
            jnp.float32
        )
        reset, candidate, update = jnp.split(gates, 3, -1)
        candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
        update = jax.nn.sigmoid(update - 1.0)
        return update * candidate + (1.0 - update) * deter

    def noise(self, key: jax.Array, lead: tuple[int, ...]) -> jax.Array:
        """Uniform noise [*lead, S] for the samples of `img_step` and `obs_step`."""
        return jax.random.uniform(key, (*lead, self.config.stoch))

    def img_step(self, prev: Latent, action: jax.Array, noise: jax.Array | None) -> Latent:
        """One predicted step from `prev` under `action` [..., A].

        stoch is sampled with `noise` [..., S], or is the prior's mode if `noise` is None.
        """
        deter = self.next_deter(prev.deter, prev.stoch, action)
        probs = self.prior_probs(deter)
        stoch = mode_onehot(probs) if noise is None else onehot_from_uniform(noise, probs)
        return Latent(deter, stoch, jnp.log(probs))

    def embed_part(self, embed: jax.Array) -> jax.Array:
        """The embedding's summand of the posterior's first product, computed outside a scan."""
        return self.obs_out.linear.rows(embed, self.config.deter)

    def posterior_probs(self, deter: jax.Array, embed_part: jax.Array) -> jax.Array:
        """Probabilities of the posterior [..., S, C] given `embed_part(embed)`."""
        return self._probs(
            self.obs_stats(self.obs_out.activate(self.obs_out.linear.rows(deter, 0) + embed_part))
        )

    def obs_step(
        self,
        prev: Latent,
        prev_action: jax.Array,
        embed_part: jax.Array,
        is_first: jax.Array,
        first: Latent,
        noise: jax.Array,
    ) -> Latent:
        """One posterior step [B, ...].

        Where `is_first`, it starts from the state `first` (see `initial`) with a zero action.

        The sample is drawn with `noise` [B, S].
        """

        def choose(new, old):
            return jnp.where(is_first.reshape(-1, *[1] * (old.ndim - 1)), new, old)

        prev = jax.tree.map(choose, first, prev)
        prev_action = choose(jnp.zeros_like(prev_action), prev_action)
        deter = self.next_deter(prev.deter, prev.stoch, prev_action)
        probs = self.posterior_probs(deter, embed_part)
        return Latent(deter, onehot_from_uniform(noise, probs), jnp.log(probs))

    def observe(
        self, embed: jax.Array, action: jax.Array, is_first: jax.Array, key: jax.Array
    ) -> tuple[Latent, jax.Array]:
        """Posterior [B, T, ...] along a sequence and the prior's logits [B, T, S, C].

        `action[:, t]` is the action taken at t. Every sequence starts from the learned initial
        state with a zero action, as in the release, whose replay marks the first row of every
        sampled sequence as `is_first`.
        """
        batch, length = is_first.shape
        prev_action = jnp.concatenate([jnp.zeros_like(action[:, :1]), action[:, :-1]], 1)
        is_first = is_first.at[:, 0].set(True)
        inputs = jax.tree.map(
            lambda x: x.swapaxes(0, 1), (prev_action, self.embed_part(embed), is_first)
        )

        first = self.initial(batch)

        def step(prev, xs):
            prev_action, embed_part, is_first, noise = xs
            post = self.obs_step(prev, prev_action, embed_part, is_first, first, noise)
            return post, post

        _, post = jax.lax.scan(step, first, (*inputs, self.noise(key, (length, batch))))
        post = jax.tree.map(lambda x: x.swapaxes(0, 1), post)
        return post, jnp.log(self.prior_probs(post.deter))
