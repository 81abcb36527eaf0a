"""Repeated open-loop predictions of an episode by the world model.

Shapes: T+1 rows of an episode; C observed rows before a prediction, K predicted ones. Predictions
tile the episode from row C-1 on: one observed row, then K predicted ones.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from agents.api import PyTree
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.open_loop import open_loop

NOT_YET = -1


class Dream(NamedTuple):
    """Predictions for all rows of an episode, [T+1, ...]; zeros where `ahead` is NOT_YET.

    ahead: agent steps since the prediction's last observation, 0 on observed rows. obs: images
    uint8, vectors in their own units. reward, cost: per agent step. hazards: tracked positions, of
    width 0 if there are none. cost_source: see `agents.safedreamer.config.ModelConfig`.
    """

    ahead: np.ndarray
    obs: dict[str, np.ndarray]
    reward: np.ndarray
    cost: np.ndarray
    hazards: np.ndarray
    cost_source: str


def dream(
    agent: SafeDreamer,
    state: PyTree,
    rows: dict[str, np.ndarray],
    context: int,
    steps: int,
    key: jax.Array,
) -> Dream:
    """Predict `steps` = K rows at a time from `context` = C observed ones, for rows [T+1, ...] of
    one episode.

    Raises ValueError if the episode is too short to predict anything.
    """
    length = len(rows["reward"])
    if length <= context:
        raise ValueError(
            f"an episode of {length} rows leaves nothing to predict after {context}; give a "
            "smaller --dream-context"
        )
    starts = np.arange(0, length - context + 1, steps + 1)
    # The last window may extend beyond the episode: its rows there repeat the last one, and their
    # predictions are dropped.
    index = np.minimum(starts[:, None] + np.arange(context + steps), length - 1)
    windows = {name: values[index] for name, values in rows.items()}
    run = jax.jit(
        lambda params, windows, key: open_loop(agent.networks(params), windows, context, key)
    )
    said = jax.device_get(run(state.params, windows, key))

    def tiled(values: np.ndarray) -> np.ndarray:
        rest = np.concatenate(values)[: length - context + 1]
        return np.concatenate([np.zeros((context - 1, *rest.shape[1:]), rest.dtype), rest])

    ahead = np.concatenate(
        [np.full(context - 1, NOT_YET), np.tile(np.arange(steps + 1), len(starts))]
    )[:length]
    obs = {
        name: tiled(_displayed(values, agent.env.obs[name].dtype))
        for name, values in said.obs.items()
    }
    reward, cost, hazards = map(tiled, (said.reward, said.cost, said.hazards))
    return Dream(ahead, obs, reward, cost, hazards, agent.config.model.cost_source)


def _displayed(values: np.ndarray, dtype: str) -> np.ndarray:
    """Predicted images, around 0..1, as pixels; vectors are unchanged."""
    return (
        np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8) if dtype == "uint8" else values
    )
