"""Intervals of a mean over few runs, and of a share."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

MIN_RUNS = 3  # with fewer runs no interval can be trusted: callers then show the single runs
LEVEL = 0.95


def mean_half_width(values: np.ndarray, level: float = LEVEL) -> np.ndarray:
    """Half width of Student's t interval of the mean over runs.

        t[n - 1, (1 + level) / 2] * s / sqrt(n),    s with n - 1 in the denominator

    Student's t rather than the percentile bootstrap: with 3 to 5 runs the bootstrap interval is far
    too narrow.
    Args: values [runs, ...]. Returns: [...], NaN with fewer than MIN_RUNS runs or where a value is
    not finite.
    """
    values = np.asarray(values, dtype=np.float64)
    runs = len(values)
    if runs < MIN_RUNS:
        return np.full(values.shape[1:], np.nan)
    # here: most of the start-up time of a figure without intervals
    from scipy.special import stdtrit

    return stdtrit(runs - 1, (1.0 + level) / 2.0) * values.std(axis=0, ddof=1) / np.sqrt(runs)


def wilson_interval(
    share: np.ndarray, count: np.ndarray, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's score interval of a binomial share [...] observed in `count` [...] independent
    trials: low and high, [...].

    (p + z^2 / 2n  +-  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)
    """
    z = NormalDist().inv_cdf((1.0 + level) / 2.0)
    share, count = np.asarray(share, np.float64), np.asarray(count, np.float64)
    centre = (share + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(share * (1 - share) / count + (z / (2 * count)) ** 2) / (1 + z**2 / count)
    return np.minimum(centre - half, share), np.maximum(centre + half, share)
