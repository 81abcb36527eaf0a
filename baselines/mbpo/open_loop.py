"""Open-loop predictions of the ensemble from one observation, given only the actions.

Shapes: N windows of C + K rows; predictions are [N, K+1, ...], row 0 the last observed row itself
and row k after k actions without an observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.nn.distributions import symexp
from agents.nn.observations import vector_of
from agents.world_models import check_context
from baselines.mbpo.learner import AgentState, Learner
from baselines.mbpo.rollouts import advance


class OpenLoop(NamedTuple):
    """Predicted observations in their own units, reward and cost.

    Nothing is tracked: `hazards` are [N, K+1, 0].
    """

    obs: dict[str, jax.Array]
    reward: jax.Array
    cost: jax.Array
    hazards: jax.Array


def open_loop(
    learner: Learner, state: AgentState, rows: Mapping[str, jax.Array], context: int, key: jax.Array
) -> OpenLoop:
    """Predictions for replay rows [N, C+K, ...] from row `context` - 1, the last observed one; the
    model is memoryless and uses no earlier row.

    As in rollouts, each step is predicted by a newly drawn elite, sampled or its mean according to
    `model.sampled`, but never terminated. Raises ValueError if the method has no model, and unless
    1 <= C < rows.
    """
    if learner.ensemble is None or state.model is None:
        raise ValueError("the method has no model to predict with")
    check_context(context, rows["is_first"].shape[1])
    ensemble, scales, elites = learner.ensemble, state.model.scales, learner.elites(state)
    start = vector_of({k: rows[k][:, context - 1] for k in learner.obs_names}, learner.obs_names)
    actions = jnp.swapaxes(rows["action"][:, context - 1 : -1], 0, 1)
    noise = learner.rollout_noise(key, *actions.shape[:2])

    def step(z, inputs):
        action, drawn = inputs
        after = advance(ensemble, elites, scales, z, action, drawn)
        return after.z, (after.z, after.reward, after.cost)

    _, predicted = jax.lax.scan(step, start, (actions, noise))
    seen = start, rows["reward"][:, context - 1], rows["cost"][:, context - 1]
    z, reward, cost = (
        jnp.swapaxes(jnp.concatenate([first[None], rest]), 0, 1)
        for first, rest in zip(seen, predicted, strict=True)
    )
    widths = [learner.env.obs[name].shape[0] for name in learner.obs_names]
    parts = jnp.split(symexp(z), np.cumsum(widths[:-1]).tolist(), -1)
    obs = dict(zip(learner.obs_names, parts, strict=True))
    return OpenLoop(obs, reward, cost, jnp.zeros((*reward.shape, 0)))
