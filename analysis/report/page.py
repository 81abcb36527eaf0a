"""One self-contained HTML page of results.

Overview, curves to hover and toggle, tables, figures, videos, provenance, warnings.

Style sheet, script, data and figures stand in the page itself, so that it opens anywhere without a
server or a network. Videos are embedded as long as all of them together are small; beyond that the
page links to their files, relative to where it lies.
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
from analysis.read.labels import method_label, task_label
from analysis.read.results import DUPLICATE, WHOLE, Results, gaps
from analysis.report import payload
from analysis.report.provenance import provenance
from analysis.report.write import problems
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.metrics import METRICS, scores
from analysis.tables import formats
from analysis.tables.comparison import comparison

VIDEO_ENDINGS = (".mp4", ".webm", ".gif")
SKIPPED_FOLDERS = ("checkpoints", "replay")
MEDIA_TYPES = {".mp4": "video/mp4", ".webm": "video/webm", ".gif": "image/gif"}
NARROW_INCHES = 5.0  # figures below this width are shown smaller


@dataclasses.dataclass(frozen=True)
class PageConfig:
    """What the page holds."""

    title: str = "Results"
    last: int = 10  # evaluation episodes per run in the tables
    # simulator step at which tables, aggregates and ablations judge runs; None: their last
    at: int | None = None
    embed_mb: float = 30.0  # of videos; with more than this they are linked
    gallery: GalleryConfig = dataclasses.field(
        default_factory=lambda: GalleryConfig(single_tasks=False)
    )

    def __post_init__(self) -> None:
        if self.last < 1:
            raise ValueError(f"last={self.last} must be at least 1")
        if self.embed_mb < 0:
            raise ValueError(f"embed_mb={self.embed_mb} must be at least 0")


class Row(NamedTuple):
    """Cells of a table's row; `best` ones are bold."""

    cells: Sequence[str]
    best: bool = False


class Table(NamedTuple):
    """A table of the page; `text` are the columns set flush left, `link` is the column that names a
    configuration.
    """

    head: Sequence[str]
    rows: Sequence[Row]
    text: Sequence[int] = (0,)
    title: str = ""
    note: str = ""
    link: int = -1


def page(
    results: Results, out: Path, roots: Iterable[Path] = (), config: PageConfig | None = None
) -> str:
    """The page's text.

    `out` is where it will lie, for links to videos; `roots` are searched for videos.
    """
    config = config or PageConfig()
    values = scores(results, config.last, config.at)
    compared = comparison(values)
    summary = gallery.summarise(values, config.gallery)
    figures = config.gallery
    groups = [
        _group(
            "Aggregates",
            gallery.aggregate_pictures(summary, figures),
            _aggregate_tables(summary),
            summary.note,
        ),
        _group("Ablations", gallery.ablation_pictures(results, values)),
        _group("World models", gallery.world_models(results)),
    ]
    groups = [group for group in groups if group["pictures"]]
    videos, linked = _videos(roots, out, config.embed_mb)
    origins, configurations = provenance(results)
    sections = [
        ("overview", "Overview"),
        ("curves", "Curves"),
        ("performance", "Final performance"),
    ]
    sections += (
        [(group["id"], group["title"]) for group in groups]
        + ([("videos", "Videos")] if videos else [])
        + [("runs", "Runs")]
    )
    web = resources.files("analysis.report.web")
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.from_string(web.joinpath("report.html").read_text(encoding="utf-8")).render(
        title=config.title,
        subtitle=_subtitle(results, config),
        css=Markup(web.joinpath("report.css").read_text(encoding="utf-8")),
        script=Markup(web.joinpath("report.js").read_text(encoding="utf-8")),
        data=Markup(_json(payload.curves(results))),
        sections=sections,
        tiles=_tiles(results),
        warnings=warnings(results),
        min_runs=MIN_RUNS,
        performance=_performance(compared, config.last),
        published=_published(compared),
        groups=groups,
        videos=videos,
        linked=linked,
        runs=_runs(results, origins),
        configurations=configurations,
    )


def warnings(results: Results) -> list[str]:
    """What a reader must know: runs with problems, runs that are missing, methods with too few
    seeds for intervals.
    """
    runs = results.runs[(results.runs["task"] != "") & (results.runs["status"] != DUPLICATE)]
    lines = problems(results)
    for r in gaps(results).itertuples():
        if r.reason == "not run":  # the others stand among the problems
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
    return (
        text
        if config.at is None
        else (
            f"{text} Tables, aggregates and ablations judge runs at {config.at:,} simulator steps."
        )
    )


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


def _performance(table: pd.DataFrame, last: int) -> Table:
    """Our rows of `comparison`."""
    rows = []
    for r in table[~table["published"]].to_dict("records"):
        cells = [task_label(r["task"], r["obs"]), method_label(r["method"])]
        cells += [
            formats.plus_minus(r["return"], r["return_half"]),
            formats.plus_minus(r["cost"], r["cost_half"]),
        ]
        cells += [
            formats.number(r["cost_limit"], 6),
            formats.number(100.0 * r["feasible"], 0, " %"),
        ]
        rows.append(
            Row(
                [
                    *cells,
                    f"{r['seeds']:.0f} of {r['runs']:.0f}",
                    formats.steps(r["env_steps"], r["env_steps"]),
                ],
                r["best"],
            )
        )
    note = (
        f"Mean over the last {last} evaluation episodes of each run, then over seeds; ± is "
        "half the width of the 95 % Student-t "
    )
    note += (
        f"interval, from {MIN_RUNS} seeds on. Bold: the best return of a task among methods "
        "whose mean cost is within the limit."
    )
    head = (
        "Task",
        "Method",
        "Return",
        "Cost",
        "Cost limit",
        "Feasible seeds",
        "Seeds evaluated",
        "Simulator steps",
    )
    return Table(head, rows, text=(0, 1), note=note)


def _published(table: pd.DataFrame) -> Table:
    """Its published rows, each with its protocol."""
    rows = []
    for r in table[table["published"]].to_dict("records"):
        cells = [task_label(r["task"], ""), method_label(r["method"])]
        cells += [
            formats.plus_minus(r["return"], r["return_half"]),
            formats.plus_minus(r["cost"], r["cost_half"]),
        ]
        cells += [
            formats.number(r["cost_limit"], 6),
            formats.number(r["seeds"], 0),
            formats.number(r["env_steps"], 6),
        ]
        rows.append(Row([*cells, r["protocol"], r["source"]]))
    head = (
        "Task",
        "Method",
        "Return",
        "Cost",
        "Cost limit",
        "Seeds",
        "Simulator steps",
        "Protocol",
        "Source",
    )
    note = (
        "Published by others under other limits, budgets, observations or versions of a task: "
        "to look at, not to rank with the rows "
    )
    return Table(head, rows, text=(0, 1, 7, 8), note=note + "above. ± is one standard deviation.")


def _group(
    title: str, pictures: Iterable[Picture], its_tables: Sequence[Table] = (), note: str = ""
) -> dict[str, Any]:
    """A section of the page."""
    embedded = [_embedded(picture) for picture in pictures]
    return {
        "id": title.lower().replace(" ", "-"),
        "title": title,
        "note": note,
        "tables": its_tables,
        "pictures": embedded,
    }


def _aggregate_tables(summary: gallery.Summary) -> list[Table]:
    return [_aggregate_table(metric, table) for metric, table in summary.tables.items()]


def _aggregate_table(metric: str, table: pd.DataFrame) -> Table:
    wide = {name: rows.set_index("statistic") for name, rows in table.groupby("method", sort=False)}
    statistics = [
        s
        for s in dict.fromkeys(table["statistic"])
        if table.loc[table["statistic"] == s, "value"].notna().any()
    ]
    rows = []
    for name in style.method_styles(wide):
        mine = wide[name]
        cells = [
            _interval(mine.loc[s, "value"], mine.loc[s, "low"], mine.loc[s, "high"])
            for s in statistics
        ]
        rows.append(
            Row(
                [
                    method_label(name),
                    *cells,
                    str(mine["runs"].iloc[0]),
                    str(mine["tasks"].iloc[0]),
                ]
            )
        )
    about = METRICS[metric]
    better = "higher" if about.higher_is_better else "lower"
    note = f"{about.source[:1].upper()}{about.source[1:]}. {better.capitalize()} is better."
    return Table(["Method", *statistics, "Runs", "Tasks"], rows, title=about.label, note=note)


def _runs(results: Results, origins: Sequence[Any]) -> Table:
    rows = []
    for r, origin in zip(results.runs.itertuples(), origins):
        steps = f"{r.env_steps:,}" + (
            "" if pd.isna(r.budget_env_steps) else f" of {r.budget_env_steps:,.0f}"
        )
        cells = [
            r.run,
            method_label(r.label),
            task_label(r.task, r.obs),
            "" if pd.isna(r.seed) else str(r.seed),
            r.status,
            steps,
        ]
        cells += [
            origin.commit,
            origin.hardware,
            origin.started,
            str(origin.configuration or ""),
            origin.versions,
            r.notes,
        ]
        rows.append(Row(cells))
    head = (
        "Run",
        "Method",
        "Task",
        "Seed",
        "Status",
        "Simulator steps",
        "Commit",
        "Machine",
        "Started",
        "Configuration",
        "Versions",
        "Notes",
    )
    return Table(head, rows, text=(0, 1, 2, 4, 6, 7, 8, 10, 11), link=9)


def _embedded(picture: Picture) -> dict[str, Any]:
    """A picture as the template wants it.

    Its SVG stands in an image of its own, so that ids of two figures never meet.
    """
    source, narrow = "", False
    if picture.figure is not None:
        narrow = picture.figure.get_figwidth() < NARROW_INCHES
        source = (
            "data:image/svg+xml;base64,"
            + base64.b64encode(style.svg_text(picture.figure).encode()).decode()
        )
    return {"title": picture.title, "caption": picture.caption, "source": source, "narrow": narrow}


def _videos(roots: Iterable[Path], out: Path, embed_mb: float) -> tuple[list[dict[str, Any]], str]:
    """Every video below the roots, and what to say when they are linked."""
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
    for base, folders, files in os.walk(root):
        folders[:] = [
            name for name in folders if name not in SKIPPED_FOLDERS and not name.startswith(".")
        ]
        yield from (
            Path(base, name)
            for name in files
            if name.endswith(VIDEO_ENDINGS) and Path(base, name).is_file()
        )


def _json(value: Any) -> str:
    """Compact JSON that no text in it can end the script element of."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _interval(value: float, low: float, high: float) -> str:
    if pd.isna(value):
        return formats.NONE
    value, low, high = value + 0.0, low + 0.0, high + 0.0  # no "-0" where a cost was turned round
    return f"{value:.3g}" if pd.isna(low) else f"{value:.3g} ({low:.3g} to {high:.3g})"
