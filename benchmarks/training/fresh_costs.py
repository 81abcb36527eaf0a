"""Held-out check of predicted costs during training, on new rows that no update has replayed.

When it acts, an agent that learns costs reports the cost predicted for the current row
(`agents.api.COST_NOW`). The row's true cost is known by then, and the parameters were trained on
older rows only. Precision and recall can be high on replayed rows (`train/model/cost_recall`) but
near zero on new ones (`fresh/cost_recall`): then the model has overfitted its replay buffer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

PREFIX = "fresh/"
RECALL, PRECISION, PREDICTED, TRUE = (
    f"{PREFIX}cost_{name}" for name in ("recall", "precision", "predicted", "true")
)
REPLAYED_RECALL = "train/model/cost_recall"
ENOUGH = 0.01  # share of costly rows below which recall is too noisy
WORSE = 0.5  # warn below this fraction of the recall on replayed rows


def counts(expected: np.ndarray, cost: np.ndarray) -> dict[str, np.ndarray]:
    """Metrics that one step of all environments ([E] each) adds to a window.

    `summary` turns their means into rates.
    """
    said, true = np.asarray(expected) > 0.5, cost > 0.0
    found = {"said": said, "happened": true, "hits": said & true}
    return {name: x.astype(np.float32) for name, x in found.items()} | {
        "cost_predicted": np.asarray(expected),
        "cost_true": cost,
    }


def summary(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics of a window with precision and recall instead of the counts.

    Precision is omitted if no cost was predicted, recall if none occurred.
    """
    result = dict(values)
    said, happened, hits = (result.pop(PREFIX + name, 0.0) for name in ("said", "happened", "hits"))
    if said:
        result[PRECISION] = hits / said
    if happened:
        result[RECALL] = hits / happened
    return result


def warning(before: Mapping[str, float], values: Mapping[str, Any]) -> str | None:
    """The warning if costs are predicted much worse on new rows than on replayed ones, else None.

    Both arguments are metrics of a window; `before` is the input of `summary`.
    """
    new, replayed = values.get(RECALL), values.get(REPLAYED_RECALL)
    if (
        new is None
        or replayed is None
        or before[f"{PREFIX}happened"] < ENOUGH
        or new >= WORSE * replayed
    ):
        return None
    return (
        f"the cost head finds {new:.0%} of the costs on new rows and {replayed:.0%} on "
        "replayed ones: the world model knows its replay by heart; lower loop.train_ratio, or "
        "collect more varied rows"
    )
