"""Held-out check of predicted costs while a run trains.

Rows that the policy has just met and no update has replayed.

An agent that learns costs reports the cost it expects at the present row when it acts
(`agents.api.COST_NOW`). The row's real cost is known by then, and its parameters come from older
rows only. Precision and recall on replayed rows (`train/model/cost_recall`) can be high while those
of new rows (`fresh/cost_recall`) are near zero: then the model knows its replay by heart.
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
ENOUGH = 0.01  # share of costly rows below which a recall says little
WORSE = 0.5  # times the recall of replayed rows


def counts(expected: np.ndarray, cost: np.ndarray) -> dict[str, np.ndarray]:
    """What one step of all environments ([E] each) adds to a window of metrics.

    `summary` makes rates of their means.
    """
    said, true = np.asarray(expected) > 0.5, cost > 0.0
    found = {"said": said, "happened": true, "hits": said & true}
    return {name: x.astype(np.float32) for name, x in found.items()} | {
        "cost_predicted": np.asarray(expected),
        "cost_true": cost,
    }


def summary(values: Mapping[str, float]) -> dict[str, float]:
    """Metrics of a window with precision and recall instead of the counts.

    Each is left out where nothing was predicted or cost.
    """
    result = dict(values)
    said, happened, hits = (result.pop(PREFIX + name, 0.0) for name in ("said", "happened", "hits"))
    if said:
        result[PRECISION] = hits / said
    if happened:
        result[RECALL] = hits / happened
    return result


def warning(before: Mapping[str, float], values: Mapping[str, Any]) -> str | None:
    """What to say where new rows' costs are predicted much worse than replayed ones.

    Both are metrics of a window.

    `before` is what `summary` was given.
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
