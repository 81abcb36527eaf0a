"""Every figure that results allow, in one order, with its title and caption.

What cannot be drawn says why. Nothing is saved here.

Figures over all tasks compare the plain methods; variants of ablation suites have figures of their
own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import ablations as ablation_figures
from analysis.figures import curves, diagnosis, overall, style
from analysis.figures.grid import grid
from analysis.read.labels import method_label, split_label, task_label
from analysis.read.results import Results
from analysis.statistics import ablations, aggregates, timing
from analysis.statistics.metrics import METRICS

CURVES, AGGREGATES, ABLATIONS, WORLD_MODEL = "Curves", "Aggregates", "Ablations", "World model"
BARS = ("normalised_return", "normalised_cost", "normalised_cost_rate", "cost_over_limit")


class Picture(NamedTuple):
    """A figure to be, or the reason why there is none."""

    name: str  # of its files
    section: str
    title: str
    caption: str
    figure: Figure | None


@dataclasses.dataclass(frozen=True)
class GalleryConfig:
    """How much to compute. Resamples decide most of the time that a full benchmark takes."""

    reps: int = 2000  # bootstrap resamples of aggregates
    pair_reps: int = 500  # of performance profiles and of each pair of methods
    single_tasks: bool = True  # a figure per task besides the grid
    seed: int = 0  # of the bootstrap

    def __post_init__(self) -> None:
        if min(self.reps, self.pair_reps) < 1:
            raise ValueError(f"reps={self.reps} and pair_reps={self.pair_reps} must be at least 1")


def plain(scores: pd.DataFrame) -> pd.DataFrame:
    """The scores of methods as they are; of all labels where there are none but variants."""
    variants = scores["method"].map(lambda label: bool(split_label(label)[1])).astype(bool)
    return scores if variants.all() else scores[~variants]


def gallery(
    results: Results, scores: pd.DataFrame, config: GalleryConfig | None = None
) -> Iterator[Picture]:
    """Curves, aggregates, ablations and world models.

    `scores` are those of `metrics.scores(results)`.
    """
    config = config or GalleryConfig()
    yield from curve_pictures(results, config)
    yield from aggregate_pictures(summarise(scores, config), config)
    yield from ablation_pictures(results, scores)
    yield from world_models(results)


def curve_pictures(results: Results, config: GalleryConfig) -> Iterator[Picture]:
    """The grid of all tasks, where there are several, and a figure per task."""
    runs = results.runs[results.runs["task"] != ""]
    labels = [
        label for label, variant in zip(runs["label"], runs["variant"]) if not variant
    ] or list(runs["label"])
    caption = (
        "Evaluations: mean over seeds with 95 % Student-t band from three seeds on, single "
        "seeds below. Dashed: cost limit."
    )
    shown = list(style.method_styles(labels))
    tasks = sorted(set(zip(runs["task"], runs["obs"])))
    if len(tasks) != 1:
        yield Picture("curves-grid", CURVES, "All tasks", caption, grid(results, methods=shown))
    if not config.single_tasks and len(tasks) > 1:
        return
    for task, obs in tasks:
        here = runs[(runs["task"] == task) & (runs["obs"] == obs) & runs["label"].isin(shown)]
        if here.empty:
            continue  # only variants: their figures are the ablations'
        episodes = results.episodes[results.episodes["run"].isin(here["run"])]
        name = f"curves-{task_label(task, '')}-{obs}".strip("-").lower()
        figure = curves.curves(Results(episodes, here, results.damage))
        yield Picture(
            name,
            CURVES,
            task_label(task, obs),
            caption + " Faint: training episodes, smoothed.",
            figure,
        )


class Summary(NamedTuple):
    """Aggregates of the plain methods that have evaluations, by metric, and what has to be said of
    them.
    """

    scores: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    note: str


def summarise(scores: pd.DataFrame, config: GalleryConfig | None = None) -> Summary:
    """`stats.aggregate` of return, cost and those of BARS that exist.

    `tables` is empty where no run has evaluations.
    """
    config = config or GalleryConfig()
    scores = plain(scores)
    evaluated = scores.groupby("method")["return"].transform("count") > 0
    without = sorted(set(scores.loc[~evaluated, "method"]))
    scores = scores[evaluated]
    if scores.empty:
        return Summary(scores, {}, "No run has evaluations yet.")
    known = ["return", "cost", *(metric for metric in BARS if scores[metric].notna().any())]
    tables = {
        metric: aggregates.aggregate(scores, metric, config.reps, config.seed) for metric in known
    }
    notes = []
    left_out = sorted({text for table in tables.values() for text in table["left_out"] if text})
    if left_out:
        notes.append(f"Left out, because not all methods have values there: {'; '.join(left_out)}.")
    if without:
        notes.append(f"Without evaluations: {', '.join(map(method_label, without))}.")
    if not all(table["trusted"].all() for table in tables.values()):
        notes.append("Fewer than 3 seeds: no interval can be trusted, none is drawn.")
    return Summary(scores, tables, " ".join(notes))


def aggregate_pictures(summary: Summary, config: GalleryConfig) -> Iterator[Picture]:
    """Bars, profiles, improvement and scatter over all tasks."""
    scores, tables, note = summary
    if not tables:
        yield Picture("aggregates", AGGREGATES, "Aggregates", note, None)
        return
    shown = [metric for metric in BARS if metric in tables] or ["return", "cost"]
    caption = f"Over all runs and tasks, with 95 % stratified bootstrap intervals. {note}"
    yield Picture(
        "aggregates",
        AGGREGATES,
        "Aggregates",
        caption,
        overall.bars({metric: tables[metric] for metric in shown}),
    )
    gain = "normalised_return" if "normalised_return" in tables else "return"
    cost = next(
        metric for metric in ("cost_over_limit", "normalised_cost", "cost") if metric in tables
    )
    for metric in (gain, cost):
        values = scores[metric].to_numpy(dtype=float)
        taus = np.linspace(
            min(0.0, np.nanmin(values)), np.nanquantile(values, 0.9) * 1.3 or 1.0, 60
        )
        frame = aggregates.profiles(scores, metric, taus, config.pair_reps, config.seed)
        name, title = (
            f"profiles-{metric}".replace("_", "-"),
            f"Performance profile: {METRICS[metric].label}",
        )
        figure = overall.profiles(
            frame, metric, threshold=1.0 if metric == "cost_over_limit" else None
        )
        yield Picture(
            name,
            AGGREGATES,
            title,
            f"Share of runs better than τ, with pointwise 95 % bands. {note}",
            figure,
        )
    for metric in (gain, cost) if scores["method"].nunique() > 1 else ():
        frame = aggregates.improvement(scores, metric, config.pair_reps, config.seed)
        name, title = (
            f"improvement-{metric}".replace("_", "-"),
            f"Probability of improvement: {METRICS[metric].label}",
        )
        caption = f"Averaged over tasks; bold where the 95 % interval excludes one half. {note}"
        yield Picture(name, AGGREGATES, title, caption, overall.improvement(frame, metric))
    across, up = (tables[metric][tables[metric]["statistic"] == "IQM"] for metric in (cost, gain))
    caption = (
        "Large: interquartile mean over runs and tasks with its intervals; small: mean over "
        f"the seeds of a task. {note}"
    )
    figure = overall.scatter(scores, across, up, x=cost, y=gain)
    yield Picture("scatter", AGGREGATES, "Return against cost", caption, figure)


def ablation_pictures(results: Results, scores: pd.DataFrame) -> Iterator[Picture]:
    """Planner against multiplier, planner budgets, cost limits.

    Each with the suite that it needs.
    """
    folders = {
        run: Path(folder)
        for run, folder in zip(results.runs["run"], results.runs["folder"])
        if folder
    }
    scores = scores[scores["return"].notna()]

    def times() -> pd.Series:
        mine = ablations.budgets(scores)["run"]
        return timing.act_ms({run: folders[run] for run in mine if run in folders})

    suites: tuple[tuple[str, str, str, Callable[[], Figure]], ...] = (
        (
            "ablation-planner-lagrangian",
            "Planner against Lagrangian",
            "Left: mean over tasks of every combination of parts; not parallel is interaction. "
            "Right: main effects of planning and of the multiplier and their interaction, (P+ "
            "+ P- - A+ - A-)/2, (P+ - P- + A+ - A-)/2, ((P+ - P-) - (A+ - A-))/2, P planner, A "
            "actor, + with and - without multiplier.",
            lambda: ablation_figures.contribution(scores),
        ),
        (
            "ablation-planner-budget",
            "Planner budget",
            "Mean over seeds, bars are their range. Milliseconds are those of acting in "
            "training, per agent step of all environments.",
            lambda: ablation_figures.budget(scores, times()),
        ),
        (
            "ablation-cost-limit",
            "Cost limits",
            "Mean over seeds, bars are their range.",
            lambda: ablation_figures.cost_limits(scores),
        ),
    )
    for name, title, caption, draw in suites:
        try:
            yield Picture(name, ABLATIONS, title, caption, draw())
        except ValueError as error:  # the figure names the runs that it lacks
            yield Picture(
                name, ABLATIONS, title, f"Not drawn: {error}. Suite `{name}` makes them.", None
            )


def world_models(results: Results) -> Iterator[Picture]:
    """The figure of every table that `safedreamer diagnose` left in a run's folder."""
    for run, folder in zip(results.runs["run"], results.runs["folder"]):
        for file in sorted(Path(folder).glob("diagnosis*.csv")) if folder else ():
            name = f"world-model-{run}-{file.stem}".replace("/", "-")
            try:
                figure = diagnosis.diagnosis(diagnosis.read(file))
            except ValueError as error:
                yield Picture(name, WORLD_MODEL, f"{run}: {file.stem}", f"Not drawn: {error}", None)
                continue
            caption = (
                "Open-loop predictions against what happened on new layouts, and the "
                "calibration of predicted costs."
            )
            yield Picture(
                name, WORLD_MODEL, f"{run}: {file.stem.replace('-', ' ')}", caption, figure
            )
