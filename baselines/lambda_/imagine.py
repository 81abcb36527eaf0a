"""Imagined trajectories, one per start and sampled model (docs/concepts/lambda.md#imagination).

Shapes: H imagined steps, P sampled models, N starts; F features, A actions. Time comes first:
[H, P, N, ...].
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import PyTree
from baselines.lambda_.actor_critic import Actor
from baselines.lambda_.rssm import Latent


class Trajectories(NamedTuple):
    """States 1..H, without the start: feat [H, P, N, F], and signals on arriving there [H, P, N].

    `terminal` is a probability.
    """

    feat: jax.Array
    reward: jax.Array
    cost: jax.Array
    terminal: jax.Array


def imagine(
    graph: Any,
    models: PyTree,
    actor: Actor,
    start: Latent,
    key: jax.Array,
    *,
    horizon: int,
    action_repeat: int,
    action_dim: int,
    own_noise: bool = False,
) -> Trajectories:
    """Imagine trajectories of the actor in each of the `models` (parameters [P, ...] of the
    Dynamics `graph`).

    All models share their noise, so that trajectories differ by the models, not by chance; with
    `own_noise` each draws its own. The cost head predicts whether a step has a cost; its
    probability counts for every simulator step of the agent step. Gradients to the actor's input
    are stopped, so its gradient flows through actions and dynamics only.
    """
    latent_dim, starts = start.stoch.shape[-1], start.stoch.shape[0]

    def one(params, key):
        action_key, latent_key = jax.random.split(key)
        dynamics = nnx.merge(graph, params)
        action_noise = jax.random.normal(action_key, (horizon, starts, action_dim))
        latent_noise = jax.random.normal(latent_key, (horizon, starts, latent_dim))

        def step(latent, noise):
            of_action, of_latent = noise
            action = actor.sample(jax.lax.stop_gradient(latent.feat), of_action)
            latent = dynamics.transition.predict(latent, action, of_latent)
            return latent, latent.feat

        _, feat = jax.lax.scan(step, start, (action_noise, latent_noise))
        cost = action_repeat * jax.nn.sigmoid(dynamics.cost_logit(feat))
        return Trajectories(
            feat, dynamics.reward(feat), cost, jax.nn.sigmoid(dynamics.terminal_logit(feat))
        )

    samples = jax.tree.leaves(models)[0].shape[0]
    keys = jax.random.split(key, samples) if own_noise else jnp.broadcast_to(key, (samples,))
    return jax.vmap(one, out_axes=1)(models, keys)
