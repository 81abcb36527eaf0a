"""One self-contained HTML page of results.

Overview, curves to hover and toggle, tables, figures, videos, provenance, warnings.

Style sheet, script, data and figures are part of the page, so that it opens without a server or a
network. Videos are embedded if their total size is small; otherwise the page links to their files
by relative paths.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
from markupsafe import Markup

from analysis.figures import gallery, style
from analysis.figures.gallery import GalleryConfig, Picture
from analysis.report import payload
from analysis.report.provenance import provenance
from analysis.results.frames import WHOLE, Results, Status
from analysis.results.judge import gaps
from analysis.results.labels import method_label, method_order, task_label
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.metrics import METRICS, scores
from analysis.tables import cells, formats
from analysis.tables.comparison import BESIDE, comparison
from analysis.tables.runs import problems

SKIPPED_FOLDERS = ("checkpoints", "replay")
MEDIA_TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif"}
NARROW_INCHES = 5.0  # figures below this width are shown smaller
PERFORMANCE = (
    "Task", "Method", "Return", "Cost", "Cost limit", "Feasible seeds", "Seeds", "Simulator steps"
)  # fmt: skip
PUBLISHED = (
    "Task", "Method", "Return", "Cost", "Cost limit", "Seeds", "Simulator steps", "Protocol",
    "Source",
)  # fmt: skip
RUNS = (
    "Run", "Method", "Task", "Seed", "Status", "Simulator steps", "Commit", "Machine", "Started",
    "Configuration", "Versions", "Notes",
)  # fmt: skip
# left-aligned columns
TEXTS = frozenset(
    "Task Method Protocol Source Run Status Commit Machine Started Versions Notes".split()
)


@dataclasses.dataclass(frozen=True)
class PageConfig:
    """Contents of the page."""

    title: str = "Results"
    # simulator step at which tables, aggregates and ablations judge runs; None: the end of each
    at: int | None = None
    embed_mb: float = 30.0  # total size of videos above which they are linked
    gallery: GalleryConfig = GalleryConfig()


class Group(NamedTuple):
    """A section of figures and tables."""

    title: str
    pictures: list[dict[str, Any]]
    tables: Sequence[cells.Table] = ()
    note: str = ""

    @property
    def id(self) -> str:
        return self.title.lower().replace(" ", "-")


def page(results: Results, out: Path, roots: Iterable[Path], config: PageConfig) -> str:
    """The page as HTML text.

    `out` is the file it will be written to, for links to videos; `roots` are searched for videos.
    """
    values = scores(results, config.gallery.last, config.at)
    compared = comparison(values)
    summary = gallery.summarise(values, config.gallery)
    aggregated = gallery.aggregate_pictures(summary, results, config.gallery)
    tables = [_aggregate_table(metric, table) for metric, table in summary.tables.items()]
    groups = [
        Group("Aggregates", _embedded(aggregated), tables, summary.note),
        Group("Ablations", _embedded(gallery.ablation_pictures(results, values))),
        Group("World models", _embedded(gallery.world_models(results))),
    ]
    groups = [group for group in groups if group.pictures]
    videos, linked = _videos(roots, out, config.embed_mb)
    origins, configurations = provenance(results)
    titles = ["Overview", "Curves", "Final performance", *(group.title for group in groups)]
    titles += [*(["Videos"] if videos else []), "Runs"]
    ids = {"Final performance": "performance"}
    web = resources.files("analysis.report.web")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["csv_link"] = csv_link
    return environment.from_string(web.joinpath("report.html").read_text(encoding="utf-8")).render(
        title=config.title,
        subtitle=_subtitle(results, config),
        css=Markup(web.joinpath("report.css").read_text(encoding="utf-8")),
        script=Markup(web.joinpath("report.js").read_text(encoding="utf-8")),
        data=Markup(_json(payload.curves(results))),
        sections=[(ids.get(title, title.lower().replace(" ", "-")), title) for title in titles],
        tiles=_tiles(results),
        warnings=warnings(results),
        min_runs=MIN_RUNS,
        texts=TEXTS,
        performance=cells.performance(
            compared[~compared["published"]], PERFORMANCE, config.gallery.last
        ),
        performance_data=formats.csv_text(compared),
        published=_published(compared[compared["published"]]),
        groups=groups,
        videos=videos,
        linked=linked,
        runs=_runs(results, origins),
        configurations=configurations,
    )


def csv_link(text: str) -> Markup:
    """CSV text as a data URL for download."""
    return Markup("data:text/csv;base64," + base64.b64encode(text.encode()).decode())


def warnings(results: Results) -> list[str]:
    """Warnings: runs with problems, missing runs, methods with too few seeds for intervals."""
    runs = results.runs[(results.runs["task"] != "") & (results.runs["status"] != Status.DUPLICATE)]
    lines = problems(results)
    for r in gaps(results).itertuples():
        if r.reason == "not run":  # the others are among the problems
            lines.append(
                f"missing: {method_label(r.label)} on {task_label(r.task, r.obs)}, seed {r.seed}"
            )
    seeds = runs[runs["eval_episodes"] > 0].groupby(["label", "task", "obs"])["seed"].nunique()
    few = seeds[seeds < MIN_RUNS].reset_index()
    for label, rows in few.groupby("label", sort=False):
        counts = ", ".join(f"{task_label(r.task, r.obs)}: {r.seed}" for r in rows.itertuples())
        lines.append(
            f"{method_label(str(label))} has fewer than {MIN_RUNS} seeds, no interval "
            f"can be trusted ({counts})"
        )
    return lines


def _subtitle(results: Results, config: PageConfig) -> str:
    text = f"{len(results.runs)} runs, {len(results.episodes):,} episodes."
    if config.at is None:
        return text
    return f"{text} Tables, aggregates and ablations judge runs at {config.at:,} simulator steps."


def _tiles(results: Results) -> list[tuple[str, str]]:
    runs = results.runs
    named = runs[runs["task"] != ""]
    hours = runs["wall_seconds"].sum() / 3600
    return [
        (f"{len(runs):,}", "runs found"),
        (f"{runs['status'].isin(WHOLE).sum():,}", "of them complete"),
        (str(named["label"].nunique()), "methods and variants"),
        (str(named[["task", "obs"]].drop_duplicates().shape[0]), "tasks"),
        (str(named["seed"].nunique()), "seeds"),
        (f"{runs['env_steps'].sum() / 1e6:,.1f} M", "simulator steps"),
        (f"{hours:,.1f} h", "wall clock of all runs"),
    ]


def _published(table: pd.DataFrame) -> cells.Table:
    """Published rows, each with its protocol."""
    records = table.assign(obs="").to_dict("records")
    rows = [[cells.COLUMNS[name](row) for name in PUBLISHED] for row in records]
    return cells.Table(PUBLISHED, rows, [BESIDE.removeprefix("† ").capitalize()])


def _aggregate_table(metric: str, table: pd.DataFrame) -> cells.Table:
    wide = {name: rows.set_index("statistic") for name, rows in table.groupby("method", sort=False)}
    known = table.groupby("statistic", sort=False)["value"].count()
    statistics = list(known.index[known > 0])
    rows = []
    for name in method_order(wide):
        mine = wide[name]
        values = [_interval(*mine.loc[s, ["value", "low", "high"]]) for s in statistics]
        counts = (str(mine["runs"].iloc[0]), str(mine["tasks"].iloc[0]))
        rows.append([method_label(name), *values, *counts])
    about = METRICS[metric]
    better = "Higher" if about.higher_is_better else "Lower"
    note = f"{about.source[:1].upper()}{about.source[1:]}. {better} is better."
    return cells.Table(["Method", *statistics, "Runs", "Tasks"], rows, [note], about.label)


def _runs(results: Results, origins: Sequence[Any]) -> cells.Table:
    rows = []
    for r, origin in zip(results.runs.itertuples(), origins):
        budget = "" if pd.isna(r.budget_env_steps) else f" of {r.budget_env_steps:,.0f}"
        seed = "" if pd.isna(r.seed) else str(r.seed)
        what = (r.run, method_label(r.label), task_label(r.task, r.obs), seed, r.status)
        where = (origin.commit, origin.hardware, origin.started, str(origin.configuration or ""))
        rows.append([*what, f"{r.env_steps:,}{budget}", *where, origin.versions, r.notes])
    return cells.Table(RUNS, rows)


def _embedded(pictures: Iterable[Picture]) -> list[dict[str, Any]]:
    """Pictures for the template, each an SVG image of its own, so that ids never collide."""
    found = []
    for picture in pictures:
        source, narrow = "", False
        if picture.figure is not None:
            narrow = picture.figure.get_figwidth() < NARROW_INCHES
            svg = base64.b64encode(style.svg_text(picture.figure).encode()).decode()
            source = f"data:image/svg+xml;base64,{svg}"
        data = "" if picture.data is None else formats.csv_text(picture.data)
        shown = {"name": picture.name, "title": picture.title, "caption": picture.caption}
        found.append({**shown, "source": source, "narrow": narrow, "data": data})
    return found


def _videos(roots: Iterable[Path], out: Path, embed_mb: float) -> tuple[list[dict[str, Any]], str]:
    """Every video below the roots, and a note if they are linked rather than embedded."""
    files = sorted({file.resolve() for root in roots for file in _video_files(root)})
    size = sum(file.stat().st_size for file in files) / 1e6
    embed = size <= embed_mb
    videos = []
    for file in files:
        relative = Path(os.path.relpath(file, out.resolve().parent)).as_posix()
        source = relative
        if embed:
            content = base64.b64encode(file.read_bytes()).decode()
            source = f"data:{MEDIA_TYPES[file.suffix]};base64,{content}"
        videos.append({"name": relative, "source": source, "moving": file.suffix != ".gif"})
    text = (
        f"{len(files)} videos of {size:.0f} MB are linked, not embedded: keep them where they "
        "are beside this page."
    )
    return videos, "" if embed else text


def _video_files(root: Path) -> Iterable[Path]:
    seen: set[str] = set()  # a link may lead to a folder that contains it
    for base, folders, files in os.walk(root, followlinks=True):
        place = os.path.realpath(base)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = [
            name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")
        ]
        there = (Path(base, name) for name in files if Path(name).suffix in MEDIA_TYPES)
        yield from (file for file in there if file.is_file())


def _json(value: Any) -> str:
    """Compact JSON, escaped so that no text in it can close the script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _interval(value: float, low: float, high: float) -> str:
    if pd.isna(value):
        return formats.NONE
    value, low, high = value + 0.0, low + 0.0, high + 0.0  # no "-0" where a cost was negated
    return f"{value:.3g}" if pd.isna(low) else f"{value:.3g} ({low:.3g} to {high:.3g})"
