"""All figures in one place: each function takes frames or results and returns a matplotlib Figure.

`save` writes one.

    from analysis import figures, load, metrics, stats

    results = load.load(["results/cpu"])
    scores = metrics.scores(results)
    figures.save(figures.curves(results), Path("curves"))
    gains = stats.improvement(scores, "return")
    figures.save(figures.improvement(gains, "return"), Path("improvement"))

One idea per file stands behind each name.
"""

from analysis.ablation_figures import budget, contribution, cost_limits
from analysis.curves import CurvesConfig, curves
from analysis.diagnosis import diagnosis as calibration
from analysis.gallery import GalleryConfig, Picture, gallery
from analysis.grid import GridConfig, grid
from analysis.overall import bars, improvement, profiles, scatter
from analysis.style import save

__all__ = [
    "CurvesConfig",
    "GalleryConfig",
    "GridConfig",
    "Picture",
    "bars",
    "budget",
    "calibration",
    "contribution",
    "cost_limits",
    "curves",
    "gallery",
    "grid",
    "improvement",
    "profiles",
    "save",
    "scatter",
]
