"""An episode as the world model expects it.

open-loop predictions from some seen rows, started anew again and again.

Shapes: T+1 rows of an episode; C seen rows before a prediction, K predicted ones. Predictions tile
the episode from row C-1 on: one row that is seen, K that are not.
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

    ahead: agent steps since the last observation that the prediction knows, 0 on a row that is
    itself seen. obs: images uint8, vectors in their own units. reward, cost: per agent step.
    hazards: tracked positions, of width 0 where none are. cost_source: as
    `agents.safedreamer.config.ModelConfig` has it.
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
    """Predictions of `steps` = K rows from `context` = C seen ones, for rows [T+1, ...] of one
    episode.

    Raises ValueError when the episode ends before anything could be predicted.
    """
    length = len(rows["reward"])
    if length <= context:
        raise ValueError(
            f"an episode of {length} rows leaves nothing to predict after {context}; give a "
            "smaller --dream-context"
        )
    starts = np.arange(0, length - context + 1, steps + 1)
    # The last window may reach beyond the episode: its rows there repeat the last one, and what is
    # predicted for them is dropped.
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
    return Dream(
        ahead,
        obs,
        tiled(said.reward),
        tiled(said.cost),
        tiled(said.hazards),
        agent.config.model.cost_source,
    )


def _displayed(values: np.ndarray, dtype: str) -> np.ndarray:
    """Predicted images, around 0..1, as pixels; vectors as they are."""
    return (
        np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8) if dtype == "uint8" else values
    )
