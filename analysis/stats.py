"""The statistics in one place: `stats.aggregate(...)`, `stats.paired(...)`.

One idea per file stands behind each name.
"""

from analysis.aggregates import STATISTICS, aggregate, improvement, profiles
from analysis.intervals import LEVEL, MIN_RUNS, mean_half_width, wilson_interval
from analysis.paired import paired
from analysis.seeds import SeedPlan, seeds_needed

__all__ = [
    "LEVEL",
    "MIN_RUNS",
    "STATISTICS",
    "SeedPlan",
    "aggregate",
    "improvement",
    "mean_half_width",
    "paired",
    "profiles",
    "seeds_needed",
    "wilson_interval",
]
