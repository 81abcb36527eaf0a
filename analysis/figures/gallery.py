"""Every figure that the results allow, in a fixed order, with its title, caption and data.

A figure that cannot be drawn names what is missing and how to get it. Nothing is saved here.
Figures over all tasks compare the plain methods; variants of ablation suites have their own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import ablations as ablation_figures
from analysis.figures import curves, diagnosis, overall, style
from analysis.figures.panels import axis_label
from analysis.figures.scatter import scatter
from analysis.read.diagnosis import read as read_diagnosis
from analysis.results.frames import Results
from analysis.results.labels import method_label, task_label
from analysis.statistics import ablations, aggregates, timing
from analysis.statistics.metrics import METRICS
from analysis.statistics.references import references
from analysis.statistics.series import Kind, curve_lines, metric_points

BARS = ("normalised_return", "normalised_cost", "normalised_cost_rate", "cost_over_limit")
GAINS, COSTS = ("normalised_return", "return"), ("cost_over_limit", "normalised_cost", "cost")
NO_EVALUATIONS = (
    "No run has evaluations yet. `safedreamer status` shows where runs stand; `loop.eval_every` is "
    "how often they are evaluated."
)


class Picture(NamedTuple):
    """A figure with its data, or the reason why there is none (in `caption`)."""

    name: str  # of its files
    title: str
    caption: str
    figure: Figure | None = None
    data: pd.DataFrame | None = None


@dataclasses.dataclass(frozen=True)
class GalleryConfig:
    """How much to compute. On a full benchmark, bootstrap resamples take most of the time."""

    reps: int = 2000  # bootstrap resamples of aggregates
    pair_reps: int = 500  # of profiles, of sample efficiency and of each pair of methods
    last: int = 10  # evaluation episodes per run in final values


def gallery(
    results: Results, scores: pd.DataFrame, config: GalleryConfig = GalleryConfig()
) -> Iterator[Picture]:
    """Curves, aggregates, ablations and world models.

    `scores` are those of `analysis.statistics.metrics.scores(results)`.
    """
    yield from curve_pictures(results)
    yield from aggregate_pictures(summarise(scores, config), results, config)
    yield from ablation_pictures(results, scores)
    yield from world_models(results)


def curve_pictures(results: Results) -> Iterator[Picture]:
    """The grid of all tasks, where there are several, and per task a figure of the plain methods
    and, where there are variants of them, one of these and their variants.
    """
    every = results.runs[results.runs["task"] != ""]
    plain = every.loc[every["variant"] == "", "label"]
    shown = list(style.method_styles(plain if len(plain) else every["label"]))
    runs = every[every["label"].isin(shown)]
    caption = (
        "Evaluations: mean over seeds with 95 % Student-t band from three seeds on, single seeds "
        "below. Dashed: cost limit."
    )
    tasks = sorted(set(zip(runs["task"], runs["obs"])))
    data = curve_lines(results._replace(runs=runs), curves.SMOOTH_SHARE)
    if len(tasks) != 1:
        figure = curves.grid(results, methods=shown, data=data)
        drawn = data[data["kind"] != Kind.TRAINING]
        yield Picture("curves-grid", "All tasks", caption, figure, drawn)
    caption += " Faint: training episodes, smoothed."
    for task, obs in tasks:
        here = results._replace(runs=runs[(runs["task"] == task) & (runs["obs"] == obs)])
        mine = data[(data["task"] == task) & (data["obs"] == obs)]
        name = f"curves-{task_label(task, '')}-{obs.replace(', ', '-')}".strip("-").lower()
        title, figure = task_label(task, obs), curves.curves(here, data=mine)
        yield Picture(name, title, caption, figure, mine)

        beside = every[(every["task"] == task) & (every["obs"] == obs)]
        varied = beside.loc[beside["variant"] != "", "method"]
        beside = beside[beside["method"].isin(varied)]
        if len(plain) and len(varied):
            both = results._replace(runs=beside)
            mine = curve_lines(both, curves.SMOOTH_SHARE)
            figure = curves.curves(both, data=mine)
            yield Picture(f"{name}-variants", f"{title}, variants", caption, figure, mine)


class Summary(NamedTuple):
    """Aggregates, by metric, of the plain methods with evaluations, and a note on omissions."""

    scores: pd.DataFrame
    tables: dict[str, pd.DataFrame]  # of metrics with a task that all methods have values on
    note: str


def summarise(
    scores: pd.DataFrame, config: GalleryConfig, metrics: Sequence[str] = ("return", "cost", *BARS)
) -> Summary:
    """`aggregate` of these metrics, on the tasks that all methods share.

    If there are none, `tables` is empty and the note explains why and what to do.
    """
    scores = aggregates.plain(scores)
    evaluated = scores.groupby("method")["return"].transform("count") > 0
    without = sorted(set(scores.loc[~evaluated, "method"]))
    scores = scores[evaluated]
    if scores.empty:
        return Summary(scores, {}, NO_EVALUATIONS)
    tables = {name: aggregates.aggregate(scores, name, config.reps) for name in metrics}
    tables = {name: table for name, table in tables.items() if table["tasks"].iloc[0]}
    if not tables:
        return Summary(scores, {}, _nothing_shared(scores))
    notes = aggregates.omissions(tables)
    if without:
        notes.append(f"Without evaluations: {', '.join(map(method_label, without))}.")
    if not all(table["trusted"].all() for table in tables.values()):
        notes.append("Fewer than 3 seeds: no interval can be trusted, none is drawn.")
    return Summary(scores, tables, " ".join(notes))


def _nothing_shared(scores: pd.DataFrame) -> str:
    """Why nothing can be aggregated, and what to do."""
    text = "No task has values of all methods, so that nothing can be aggregated over tasks."
    seen = scores[scores["return"].notna()].groupby("task")["obs"].unique()
    for task, observations in seen.items():
        if len(observations) > 1:
            apart = " and ".join(sorted(observations))
            return (
                f"{text} {task_label(str(task), '')} was run under {apart}: `--observations "
                "together` takes them for one task."
            )
    return f"{text} `safedreamer tables` lists in runs.md what to run; or give fewer RESULTS."


def aggregate_pictures(
    summary: Summary, results: Results, config: GalleryConfig
) -> Iterator[Picture]:
    """Interval estimates, sample efficiency, profiles, improvement and scatter over all tasks."""
    scores, tables, note = summary
    if not tables:
        yield Picture("aggregates", "Aggregates", f"Not drawn: {note}")
        return
    caption = f"Over all runs and tasks, with 95 % stratified bootstrap intervals. {note}"
    bars = [name for name in BARS if name in tables]
    for metric in bars or [name for name in ("return", "cost") if name in tables]:
        table = tables[metric]
        columns = {name: table[table["statistic"] == name] for name in overall.STATISTICS}
        figure = overall.intervals(columns, axis_label(metric))
        name, title = _named("aggregates", metric), f"Aggregates: {METRICS[metric].label}"
        yield Picture(name, title, caption, figure, table)
    gain = next(name for name in GAINS if name in tables)
    cost = next((name for name in COSTS if name in tables), None)
    pair = [gain, *([cost] if cost else [])]
    yield _efficiency(results, scores, pair, config, note)
    for metric in pair:
        frame = aggregates.profiles(scores, metric, _taus(scores, metric), config.pair_reps)
        title = f"Performance profile: {METRICS[metric].label}"
        text = f"Share of runs better than τ, with pointwise 95 % bands. {note}"
        figure = overall.profiles(frame, metric)
        yield Picture(_named("profiles", metric), title, text, figure, frame)
    for metric in pair if scores["method"].nunique() > 1 else ():
        frame = aggregates.improvement(scores, metric, config.pair_reps)
        title = f"Probability of improvement: {METRICS[metric].label}"
        text = f"Averaged over tasks; bold where the 95 % interval excludes one half. {note}"
        figure = overall.improvement(frame, metric)
        yield Picture(_named("improvement", metric), title, text, figure, frame)
    if cost is None:
        return
    both = [tables[metric][tables[metric]["statistic"] == "IQM"] for metric in (cost, gain)]
    text = (
        "Large: interquartile mean over runs and tasks with its intervals; small: mean over the "
        f"seeds of a task. {note}"
    )
    figure = scatter(scores, *both, x=cost, y=gain)
    data = pd.concat([table.assign(metric=name) for table, name in zip(both, (cost, gain))])
    yield Picture("scatter", "Return against cost", text, figure, data)


def _efficiency(
    results: Results, scores: pd.DataFrame, metrics: list[str], config: GalleryConfig, note: str
) -> Picture:
    points = metric_points(results, references(results, config.last))
    points = points[points["run"].isin(scores["run"])]
    made = {m: aggregates.efficiency(points, m, reps=config.pair_reps) for m in metrics}
    frames = {metric: frame for metric, frame in made.items() if len(frame)}
    name, title = "efficiency", "Sample efficiency"
    if not frames:
        text = "Not drawn: runs of no method were evaluated at steps they have in common."
        return Picture(name, title, f"{text} Evaluate at equal steps.")
    text = (
        "Interquartile mean over runs and tasks against simulator steps, with pointwise 95 % "
        f"bootstrap bands; a line ends with the shortest run of its method. {note}"
    )
    data = pd.concat([frame.assign(metric=metric) for metric, frame in frames.items()])
    return Picture(name, title, text, overall.efficiency(frames), data)


def _taus(scores: pd.DataFrame, metric: str) -> np.ndarray:
    """Values at which to evaluate a profile; for costs they are densest around the limit."""
    values = scores[metric].dropna().to_numpy(dtype=float)
    low, top = min(0.0, values.min()), np.quantile(values, 0.9) * 1.3 or 1.0
    if METRICS[metric].higher_is_better or top <= 1.0:
        return np.linspace(low, top, 60)
    return np.concatenate([np.linspace(low, 1.0, 20, endpoint=False), np.geomspace(1.0, top, 40)])


def _named(kind: str, metric: str) -> str:
    return f"{kind}-{metric}".replace("_", "-")


def ablation_pictures(results: Results, scores: pd.DataFrame) -> Iterator[Picture]:
    """Planner against multiplier, planner budgets, cost limits, each with the suite it needs."""
    scores = scores[scores["return"].notna()]
    parts = [ablations.cells(scores, m).assign(metric=m) for m in ("return", "cost")]
    shared = ablations.comparable(scores, "cost")[["task", "obs"]].drop_duplicates()
    tasks = ", ".join(sorted(task_label(*each) for each in shared.itertuples(index=False)))
    yield _ablation(
        "ablation-planner-lagrangian",
        "Planner against Lagrangian",
        f"Left: mean over tasks ({tasks}) of every combination of parts; not parallel is "
        "interaction. "
        "Right: main effects of planning and of the multiplier and their interaction, (P+ + P- "
        "- A+ - A-)/2, (P+ - P- + A+ - A-)/2, ((P+ - P-) - (A+ - A-))/2, P planner, A actor, + "
        "with and - without multiplier.",
        lambda _: ablation_figures.contribution(scores),
        pd.concat(parts),
    )
    budgets = ablations.budgets(scores)
    folders = results.runs.set_index("run")["folder"][budgets["run"]]
    budgets["act_ms"] = [timing.act_ms(folder) if folder else np.nan for folder in folders]
    yield _ablation(
        "ablation-planner-budget",
        "Planner budget",
        "Mean over tasks and seeds, bars are their range. Milliseconds are those of acting in "
        "training, per agent step of all environments.",
        ablation_figures.budget,
        budgets,
    )
    yield _ablation(
        "ablation-cost-limit",
        "Cost limits",
        "Mean over seeds, bars are their range.",
        ablation_figures.cost_limits,
        ablations.limits(scores),
    )


def _ablation(
    suite: str,
    title: str,
    caption: str,
    draw: Callable[[pd.DataFrame], Figure],
    data: pd.DataFrame,
) -> Picture:
    try:
        return Picture(suite, title, caption, draw(data), data)
    except ValueError as error:  # names the runs that are missing
        text = f"Not drawn: {error}. `safedreamer sweep --suite {suite}` runs them."
        return Picture(suite, title, text)


def world_models(results: Results) -> Iterator[Picture]:
    """The figure of every table that `safedreamer diagnose` left in a run's folder."""
    for run, folder in zip(results.runs["run"], results.runs["folder"]):
        for file in sorted(Path(folder).glob("diagnosis*.csv")) if folder else ():
            name = f"world-model-{run}-{file.stem}".replace("/", "-")
            title = f"{run}: {file.stem.replace('-', ' ')}"
            try:
                table = read_diagnosis(file)
                figure = diagnosis.diagnosis(table)
            except ValueError as error:
                text = f"Not drawn: {error}. `safedreamer diagnose` writes the table anew."
                yield Picture(name, title, text)
                continue
            caption = (
                "Open-loop predictions against what happened on new layouts, and the calibration "
                "of predicted costs."
            )
            yield Picture(name, title, caption, figure, table)
