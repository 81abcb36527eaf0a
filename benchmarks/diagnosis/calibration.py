"""Is a predicted cost as likely as the model says?

Reliability tables, expected calibration error and Brier score.

A learned cost head is a distribution, and so has a probability that a step costs anything. Costs
that count hazards have none: there the soft count, at most 1, is compared with the frequency of
costs, which tells by how much its fringe exaggerates, and is named so.
Shapes: N windows; predictions and truth [N, K+1].
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.diagnosis.findings import LAST_SEEN, MEAN, MODEL, Finding

PROBABILITY, SOFT_COUNT = "cost probability", "soft hazard count"
TABLES_AT = (0, 1, 5, 15)  # agent steps ahead that get a reliability table
BINS = 10  # equal widths over 0..1


def calibration(name: str, predicted: np.ndarray, cost: np.ndarray) -> Iterator[Finding]:
    """Calibration of predictions in 0..1 of "this step costs something", called `name`, against
    costs.

    Expected calibration error: sum over bins of the bin's share of steps times |mean prediction -
    observed frequency|.
    """
    happened = cost > 0
    for k in range(cost.shape[1]):
        said, true = np.asarray(predicted, np.float64)[:, k], happened[:, k]
        index = np.minimum((said * BINS).astype(int), BINS - 1)
        count = np.bincount(index, minlength=BINS)
        total_said, total_true = (
            np.bincount(index, weights=x, minlength=BINS) for x in (said, true)
        )
        yield Finding(
            f"{name}: calibration error",
            k,
            float(np.abs(total_said - total_true).sum() / len(said)),
        )
        for predictor, guess in (
            (MODEL, said),
            (LAST_SEEN, happened[:, 0]),
            (MEAN, happened.mean()),
        ):
            yield Finding(
                f"{name}: Brier score",
                k,
                float(np.square(guess - true.astype(np.float64)).mean()),
                predictor,
            )
        if k not in TABLES_AT:
            continue
        for b in np.flatnonzero(count):
            low = float(b / BINS)
            yield Finding(f"{name}: steps in bin", k, int(count[b]), bin_low=low)
            yield Finding(
                f"{name}: mean prediction", k, float(total_said[b] / count[b]), bin_low=low
            )
            yield Finding(
                f"{name}: observed frequency", k, float(total_true[b] / count[b]), bin_low=low
            )
