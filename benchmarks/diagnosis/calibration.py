"""Calibration of predicted costs: reliability tables, expected calibration error and Brier score.

A learned cost head is a distribution, which gives a probability that a step has any cost. Costs
that count hazards give none: there the soft count, at most 1, is compared with the frequency of
costs, which shows by how much its soft margin overestimates, and is named accordingly. The interval
of a bin's frequency comes from resampling episodes, since the windows of an episode overlap and its
steps are correlated.
Shapes: N windows; predictions and truth [N, K+1]; E episodes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.diagnosis.findings import LAST_SEEN, MEAN, MODEL, Finding

PROBABILITY, SOFT_COUNT = "cost probability", "soft hazard count"
TABLES_AT = (0, 1, 5, 15)  # agent steps ahead that get a reliability table
BINS = 10  # equal widths over 0..1
MIN_EPISODES = 3  # minimum number of episodes in a bin for an interval of its frequency
RESAMPLES = 2000
LEVEL = 0.95


def calibration(
    name: str, predicted: np.ndarray, cost: np.ndarray, episodes: int = 1
) -> Iterator[Finding]:
    """Calibration against costs of predictions in 0..1 that a step has a cost, called `name`.

    The N windows come from `episodes` episodes, equally many from each, grouped by episode.

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
        error = float(np.abs(total_said - total_true).sum() / len(said))
        yield Finding(f"{name}: calibration error", k, error)
        guesses = ((MODEL, said), (LAST_SEEN, happened[:, 0]), (MEAN, happened.mean()))
        for predictor, guess in guesses:
            score = float(np.square(guess - true.astype(np.float64)).mean())
            yield Finding(f"{name}: Brier score", k, score, predictor)
        if k not in TABLES_AT:
            continue
        for b in np.flatnonzero(count):
            low, steps = float(b / BINS), int(count[b])
            said_here, true_here = float(total_said[b] / steps), float(total_true[b] / steps)
            yield Finding(f"{name}: steps in bin", k, steps, bin_low=low)
            yield Finding(f"{name}: mean prediction", k, said_here, bin_low=low)
            yield Finding(f"{name}: observed frequency", k, true_here, bin_low=low)
        owner = np.repeat(np.arange(episodes), len(said) // episodes)
        for b, low, high in zip(range(BINS), *_intervals(owner, index, true)):
            if np.isfinite(low):
                yield Finding(f"{name}: frequency low", k, float(low), bin_low=float(b / BINS))
                yield Finding(f"{name}: frequency high", k, float(high), bin_low=float(b / BINS))


def _intervals(
    owner: np.ndarray, index: np.ndarray, true: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap over episodes of the frequency in each bin.

    Returns low and high [BINS], NaN below MIN_EPISODES.

    owner, index, true [N]: each step's episode 0..E-1, its bin, and whether it had a cost.
    Resamples without steps in a bin are ignored for that bin.
    """
    episodes = int(owner[-1]) + 1
    cell = owner * BINS + index
    count, hits = (
        np.bincount(cell, weights=x, minlength=episodes * BINS).reshape(episodes, BINS)
        for x in (None, true)
    )
    times = np.random.default_rng(0).multinomial(
        episodes, np.full(episodes, 1.0 / episodes), size=RESAMPLES
    )
    steps = times @ count
    share = np.divide(times @ hits, steps, out=np.full(steps.shape, np.nan), where=steps > 0)
    enough = (count > 0).sum(0) >= MIN_EPISODES
    low, high = np.full((2, BINS), np.nan)
    tail = 50.0 * (1.0 - LEVEL)
    if enough.any():
        low[enough], high[enough] = np.nanpercentile(share[:, enough], [tail, 100.0 - tail], axis=0)
    return low, high
