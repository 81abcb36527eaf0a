"""README.md of a results folder, generated from records: performance, cost and computing time.

Missing runs are listed as gaps; a section without any data names what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple

import pandas as pd

from analysis.report.claims import NEAR_ZERO, judge
from analysis.results.frames import OURS, WHOLE, Results, Status
from analysis.results.labels import label, method_label, method_order, plural, task_label
from analysis.statistics.agreement import agreement, ambiguous
from analysis.statistics.intervals import MIN_RUNS
from analysis.statistics.reach import reach
from analysis.tables import cells
from analysis.tables.agreement import agreement_markdown
from analysis.tables.effects import effects_markdown
from analysis.tables.formats import NONE, markdown, number, several_tasks
from analysis.tables.reach import reach_markdown
from analysis.tables.training_cost import training_cost_markdown

PERFORMANCE = (
    "Task", "Method", "Return", "Cost", "Cost limit", "Feasible seeds", "Episodes within limit",
    "Seeds",
)  # fmt: skip
GIVEN = {"": "learned from the signal", "head": "learned from the signal", "none": "none"}
GIVEN |= {"tracked": "where hazards are", "geometry": "hazards of known radius"}


class Sources(NamedTuple):
    """The data that a README is made from.

    `results` are those of finished runs, `runs` the rows of all runs found. `wanted` lists the runs
    of the suites, `trials` how often each method was tried before; either is empty if its file is
    missing.
    """

    title: str
    results: Results
    runs: pd.DataFrame
    scores: pd.DataFrame  # of `analysis.statistics.metrics.scores`
    final: pd.DataFrame  # of `analysis.statistics.final.performance`, from `scores`
    wanted: pd.DataFrame
    trials: pd.DataFrame
    command: str  # that regenerates the folder's files


def readme(sources: Sources) -> str:
    """The README as Markdown."""
    sections: Sequence[tuple[str, Callable[[Sources], str]]] = (
        (
            "Return and cost of the trained policies",
            lambda it: cells.performance(it.final, PERFORMANCE).markdown(),
        ),
        ("Beside recordings", _agreement),
        ("Which methods obey the limit", _obey),
        ("The paper's claims", _claims),
        ("What makes the difference", lambda it: effects_markdown(it.scores, it.wanted)),
        ("How many steps it takes", lambda it: reach_markdown(reach(it.results, it.scores))),
        ("What training itself cost", lambda it: training_cost_markdown(it.scores)),
        ("What each agent was given", _given),
        ("Computing", _computing),
        ("Not done yet", _missing),
        ("Runs that do not count", _others),
        ("Trials before these runs", _trials),
    )
    parts = [f"# {sources.title}\n", _opening(sources)]
    written = ((title, write(sources)) for title, write in sections)
    parts += [f"## {title}\n\n{text}" for title, text in written if text]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _opening(sources: Sources) -> str:
    runs, wanted = sources.results.runs, len(sources.wanted)
    ours = runs[runs["source"] == OURS]
    of = f" of {wanted}" if wanted else ""
    others = len(runs) - len(ours)
    beside = f", beside {plural(others, 'recording')}" if others else ""
    tasks = sorted({task_label(*pair) for pair in zip(runs["task"], runs["obs"]) if pair[0]})
    tables = (
        "[`tables/comparison.md`](tables/comparison.md) these results beside published numbers, "
        "[`tables/runs.md`](tables/runs.md) every run, "
        if sources.scores["return"].notna().any()
        else ""
    )
    return (
        f"{len(ours)}{of} runs are done, on {', '.join(tasks)}{beside}. This file and everything "
        f"beside `runs/` is made from the records in it by\n\n```\n{sources.command}\n```\n\n"
        "[`figures/`](figures/captions.md) has curves of return and cost with intervals and the "
        f"data in them, {tables}`report.html` all of it on one page. A run's folder has its "
        "settings, commit, versions and hardware (`spec.json`), its episodes (`episodes.csv`) and "
        "those of its frozen policy (`final.csv`).\n"
    )


def _agreement(sources: Sources) -> str:
    """Our seeds beside recordings; "" if there are none."""
    table = agreement(sources.results)
    text = agreement_markdown(table) if len(table) else ""
    if left := [task_label(*task) for task in ambiguous(sources.results)]:
        text += "\n" if text else ""
        text += (
            f"Not compared: recordings on {', '.join(left)}, where several methods of ours ran.\n"
        )
    return text


class Obedience(StrEnum):
    """How a method's cost compares with its limit, best first."""

    WITHIN = "obeyed; the whole 95 % interval of the mean cost lies within the limit"
    MEAN_WITHIN = "obeyed on average; the mean cost is within the limit, its interval is not"
    PERHAPS_WITHIN = "obeyed on average, with too few seeds for an interval"
    MEAN_ABOVE = "broken on average; the mean cost is above the limit, its interval reaches below"
    ABOVE = "broken; the whole interval of the mean cost lies above the limit"
    PERHAPS_ABOVE = "broken on average, with too few seeds for an interval"
    UNKNOWN = "no evaluations or no limit yet"


def _obey(sources: Sources) -> str:
    """Each method's cost against its limit: the mean, and the bound of its interval."""
    found: dict[Obedience, dict[str, list[str]]] = {}  # verdict -> task -> methods
    for row in sources.final.to_dict("records"):
        name = method_label(row["method"])
        name += f" ({plural(row['seeds'], 'seed')})" if row["seeds"] < MIN_RUNS else ""
        tasks = found.setdefault(_verdict(row), {})
        tasks.setdefault(task_label(row["task"], row["obs"]), []).append(name)
    lines = []
    for how in Obedience:
        methods = [
            f"**{', '.join(names)}**" + (f" on {task}" if several_tasks(sources.final) else "")
            for task, names in found.get(how, {}).items()
        ]
        lines += [f"- {', '.join(methods)}: {how}.\n"] if methods else []
    return "".join(lines)


def _verdict(row: dict[str, float]) -> Obedience:
    cost, half, limit = row["cost"], row["cost_half"], row["cost_limit"]
    if pd.isna(cost) or pd.isna(limit):
        return Obedience.UNKNOWN
    if pd.isna(half):
        return Obedience.PERHAPS_WITHIN if cost <= limit else Obedience.PERHAPS_ABOVE
    if cost <= limit:
        return Obedience.WITHIN if cost + half <= limit else Obedience.MEAN_WITHIN
    return Obedience.ABOVE if cost - half > limit else Obedience.MEAN_ABOVE


def _claims(sources: Sources) -> str:
    """Each claim with its verdict and evidence; "" if there are no evaluations."""
    if not sources.scores["return"].notna().any():
        return ""
    rows = [
        (judged.text, judged.verdict, judged.evidence or NONE) for judged in judge(sources.final)
    ]
    note = (
        f"Nearly zero: the whole 95 % interval of the mean cost is at most {NEAR_ZERO:g}. Partly: "
        f"the claim holds on some tasks only, or on none with {MIN_RUNS} seeds, or the intervals "
        "of two methods are too wide to tell their returns apart (or their costs, unless both are "
        f"nearly zero). Undecided: it does not hold, with fewer than {MIN_RUNS} seeds. Figures are "
        "return at cost. Two methods are compared as independent samples here, and paired by seed "
        "in the next section.\n"
    )
    return markdown(("Claim", "Verdict", "Figures"), rows) + "\n" + note


def _given(sources: Sources) -> str:
    runs = sources.results.runs
    rows = []
    for name in method_order(runs["label"]):
        for (task, obs), mine in runs[runs["label"] == name].groupby(["task", "obs"]):
            settings = (
                (GIVEN.get(source, source) for source in mine["cost_source"]),
                (number(limit, 6) for limit in sorted(mine["cost_limit"])),
                mine["preset"],
                sorted(commit[:9] for commit in mine["commit"]),
            )
            found = (", ".join(filter(None, dict.fromkeys(values))) for values in settings)
            rows.append([method_label(name), task, obs, *(text or NONE for text in found)])
    head = ("Method", "Task", "Observation", "Costs", "Cost limit", "Preset", "Commit")
    return markdown(head, rows)


def _computing(sources: Sources) -> str:
    runs = sources.results.runs
    runs = runs[runs["wall_seconds"] > 0]
    if runs.empty:
        return ""
    rows = []
    for name in method_order(runs["label"]):
        mine = runs[runs["label"] == name]
        hours = mine["wall_seconds"] / 3600
        steps = mine["env_steps"]
        rate = number((steps / mine["wall_seconds"]).mean(), 0)
        times = (number(hours.sum(), 1), number(hours.max(), 2))
        rows.append([method_label(name), len(mine), *times, rate])
    rows.append(["all", len(runs), number(runs["wall_seconds"].sum() / 3600, 1), "", ""])
    devices = ", ".join(sorted({d for d in runs["devices"] if d})) or "unknown"
    head = ("Method", "Runs", "Hours in all", "Longest run (h)", "Simulator steps per second")
    note = (
        f"Wall clock of the runs, on {devices}; a run of the campaign has one core, shared with "
        "other work, so hours here are core-hours at most.\n"
    )
    return markdown(head, rows) + "\n" + note


def _missing(sources: Sources) -> str:
    wanted, runs = sources.wanted, sources.runs
    if wanted.empty:
        return "No list of wanted runs: `safedreamer publish` writes `wanted.csv` from suites.\n"
    runs = runs[runs["status"] != Status.DUPLICATE].drop_duplicates("run_id", keep="last")
    done = set(runs.loc[runs["status"].isin(WHOLE), "run_id"])
    states = {
        run: f" ({status}, {steps:,} steps)" if steps else f" ({status})"
        for run, status, steps in zip(runs["run_id"], runs["status"], runs["env_steps"])
    }
    rows = []
    keys = ["method", "variant", "cost_source", "task", "obs"]
    for (method, variant, source, task, obs), mine in wanted.groupby(keys, sort=False):
        left = mine[~mine["run_id"].isin(done)]
        if left.empty:
            continue
        told = [f"{r.seed}{states.get(r.run_id, '')}" for r in left.itertuples()]
        name = method_label(label(method, variant, source))
        rows.append([name, task_label(task, obs), f"{len(told)} of {len(mine)}", ", ".join(told)])
    if not rows:
        return "Every run of the suites is done.\n"
    return markdown(("Method", "Task", "Runs", "Seeds"), rows)


def _others(sources: Sources) -> str:
    """Nothing without any."""
    runs, wanted = sources.runs, sources.wanted
    if wanted.empty:
        return ""
    left = runs[(runs["source"] == OURS) & ~runs["run_id"].isin(wanted["run_id"])]
    if left.empty:
        return ""
    rows = []
    for r in left.itertuples():
        name, task = method_label(r.label), task_label(r.task, r.obs)
        rows.append([name, task, r.seed, r.status, r.run_id, r.commit[:9] or NONE])
    head = ("Method", "Task", "Seed", "Status", "Run", "Commit")
    note = "No suite contains these any more: their settings are not those of today's suite.\n"
    return markdown(head, rows, runs) + "\n" + note


def _trials(sources: Sources) -> str:
    """Nothing where nothing is recorded."""
    if sources.trials.empty:
        return ""
    here = "these tasks" if several_tasks(sources.results.runs) else "this task"
    head = ("Method", f"Trials on {here}", "Elsewhere", "Seeds", "What was chosen")
    shown = sources.trials.assign(method=sources.trials["method"].map(method_label))
    rows = shown[["method", "here", "elsewhere", "seeds", "chosen"]].to_numpy().tolist()
    note = (
        "Trials are training runs, short ones included, whose outcome was looked at before "
        "settings were chosen, counted from `results/log_of_trials.md`; elsewhere is "
        "`SafetyPointGoal1-v0` from coordinates. Offline fits of world models and acting of frozen "
        "agents are not counted.\n"
    )
    return markdown(head, rows) + "\n" + note
