"""Actor and critics (docs/concepts/safedreamer.md#imagination).

Shapes: H imagined steps, N starts, V input of actor and critics (`WorldModel.view`), A actions,
K two-hot bins.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from agents.nn.distributions import twohot_log_prob, twohot_mean
from agents.nn.layers import MLP, Linear
from agents.safedreamer.config import ActorConfig, ModelConfig
from agents.safedreamer.world_model import Head

sg = jax.lax.stop_gradient


class Actor(nnx.Module):
    """Diagonal Gaussian: mean = tanh(m), std = min + (max - min) * sigmoid(s + 2).

    Samples are not squashed.
    """

    def __init__(
        self,
        view_dim: int,
        action_dim: int,
        config: ActorConfig,
        model: ModelConfig,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.mlp = MLP(view_dim, model.head_units, model.head_layers, rngs=rngs, dtype=dtype)
        self.mean = Linear(model.head_units, action_dim, rngs=rngs, dtype=dtype)
        self.std = Linear(model.head_units, action_dim, rngs=rngs, dtype=dtype)
        self.config = config

    def __call__(self, view: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation of the action, each [..., A]."""
        x = self.mlp(view)
        spread = jax.nn.sigmoid(self.std(x).astype(jnp.float32) + 2.0)
        std = self.config.min_std + (self.config.max_std - self.config.min_std) * spread
        return jnp.tanh(self.mean(x).astype(jnp.float32)), std

    def act(self, view: jax.Array, noise: jax.Array) -> jax.Array:
        """Action mean + std * noise [..., A].

        Gradients to `view` are stopped, so they reach earlier steps through actions only.
        """
        mean, std = self(sg(view))
        return mean + std * noise


class Critic(Head):
    """Two-hot value head initialised to zero, [..., V] -> [..., K] logits."""

    def __init__(
        self, view_dim: int, model: ModelConfig, *, rngs: nnx.Rngs, dtype: jnp.dtype = jnp.float32
    ):
        super().__init__(view_dim, model.bins, model, rngs=rngs, outscale=0.0, dtype=dtype)

    def value(self, view: jax.Array) -> jax.Array:
        """Expected return, [..., V] -> [...]."""
        return twohot_mean(self(view))


def critic_loss(
    critic: Critic,
    slow: Critic,
    view: jax.Array,
    target: jax.Array,
    weight: jax.Array,
    slow_scale: float,
) -> jax.Array:
    """Mean of weight * (-log p(target) - slow_scale * log p(mean of the slow critic)).

    view [H, N, V], target and weight [H, N].
    """
    logits = critic(sg(view))
    fit = -twohot_log_prob(logits, sg(target))
    regulariser = -twohot_log_prob(logits, sg(slow.value(view)))
    return (sg(weight) * (fit + slow_scale * regulariser)).mean()


def update_slow(slow: dict, fast: dict, updates: jax.Array, fraction: float) -> dict:
    """EMA of parameters towards `fast`; the first update copies them."""
    mix = jnp.where(updates == 0, 1.0, fraction)
    return jax.tree.map(lambda s, f: (1.0 - mix) * s + mix * f, slow, fast)
