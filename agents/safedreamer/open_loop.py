"""Open-loop predictions of the world model after some context, given only the actions.

Shapes: N windows of C observed and K unobserved rows; predictions are [N, K+1, ...], row 0 at the
last observed state and row k after k actions without an observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.safedreamer.imagine import rollout
from agents.safedreamer.networks import Networks
from agents.safedreamer.world_model import WorldModel
from agents.world_models import check_context


class OpenLoop(NamedTuple):
    """Predicted observations (images in 0..1, vectors in their own units), reward, cost and values
    of reward and cost.

    `cost_probability` is that of `WorldModel.cost_probability`; `cost_value` is zero without a cost
    critic; `hazards` are the tracked positions, of width 0 if none are tracked.
    """

    obs: dict[str, jax.Array]
    reward: jax.Array
    cost: jax.Array
    cost_probability: jax.Array
    value: jax.Array
    cost_value: jax.Array
    hazards: jax.Array


def open_loop(
    nets: Networks, rows: Mapping[str, jax.Array], context: int, key: jax.Array
) -> OpenLoop:
    """Predictions for replay rows [N, C+K, ...] given their first `context` = C observations.

    Windows must lie within episodes; latents are sampled. Raises ValueError unless 1 <= C < rows.
    """
    model: WorldModel = nets.model
    check_context(context, rows["is_first"].shape[1])
    observe_key, predict_key = jax.random.split(key)
    seen, _ = model.observe({name: x[:, :context] for name, x in rows.items()}, observe_key)
    start = jax.tree.map(lambda x: x[:, -1], seen)
    actions = jnp.swapaxes(rows["action"][:, context - 1 :], 0, 1)
    beliefs, _ = rollout(model, start, lambda _, action: action, actions, predict_key)
    beliefs = jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), beliefs)
    feat, view = beliefs.feat, model.view(beliefs)
    cost_value = (
        jnp.zeros(feat.shape[:2]) if nets.cost_critic is None else nets.cost_critic.value(view)
    )
    return OpenLoop(
        model.decoder(feat),
        model.reward(feat),
        model.cost(beliefs),
        model.cost_probability(beliefs),
        nets.critic.value(view),
        cost_value,
        beliefs.hazards,
    )


class AtPosterior(NamedTuple):
    """Observations (images in 0..1, vectors in their own units), reward, cost and cost probability
    [N, K, ...], predicted from posterior states.
    """

    obs: dict[str, jax.Array]
    reward: jax.Array
    cost: jax.Array
    cost_probability: jax.Array


def at_posterior(
    nets: Networks, rows: Mapping[str, jax.Array], context: int, key: jax.Array
) -> AtPosterior:
    """Predictions at the posterior of rows [N, C+K, ...], without the first `context` = C of each
    window.

    Windows may cross the ends of episodes.
    """
    model: WorldModel = nets.model
    belief = jax.tree.map(lambda x: x[:, context:], model.observe(rows, key)[0])
    return AtPosterior(
        model.decoder(belief.feat),
        model.reward(belief.feat),
        model.cost(belief),
        model.cost_probability(belief),
    )
