"""Tables of the runs: found, damaged and missing ones."""

from __future__ import annotations

import pandas as pd

from analysis.results.frames import WHOLE, Results
from analysis.results.judge import gaps
from analysis.results.labels import method_label, plural, task_label
from analysis.tables.formats import NONE, markdown, steps

HEAD = (
    "Run", "Method", "Seed", "Status", "Training", "Evaluation", "Simulator steps",
    "Damaged lines", "Notes",
)  # fmt: skip


def runs_markdown(results: Results) -> str:
    """Every run with its status, numbers of episodes and problems, then damaged lines."""
    rows = []
    for r in results.runs.itertuples():
        reached = steps(r.env_steps, r.env_steps)
        if not pd.isna(r.budget_env_steps):
            reached += f" of {r.budget_env_steps:,.0f}"
        method, seed = method_label(r.label) or NONE, NONE if pd.isna(r.seed) else r.seed
        counts = (r.train_episodes, r.eval_episodes, reached, r.damaged_lines)
        rows.append([r.run, method, seed, r.status, *counts, r.notes])
    text = markdown(HEAD, rows)
    if len(results.damage):
        text += "\nDamaged lines, not counted above:\n\n"
        text += "".join(
            f"- {d.run}/{d.file} line {d.line}: {d.reason}\n" for d in results.damage.itertuples()
        )
    return text


def gaps_markdown(results: Results) -> str:
    """The runs missing from the grid of methods, tasks and seeds; "" if there are none."""
    missing = gaps(results)
    if missing.empty:
        return ""
    keys = ["label", "task", "obs", "reason"]
    rows = [
        [method_label(method), task_label(task, obs), " ".join(map(str, mine["seed"])), reason]
        for (method, task, obs, reason), mine in missing.groupby(keys, sort=True)
    ]
    return "\nMissing for a full grid:\n\n" + markdown(("Method", "Task", "Seeds", "Reason"), rows)


def problems(results: Results) -> list[str]:
    """One line for each run that is not complete or has notes or damaged lines."""
    lines = []
    for r in results.runs.itertuples():
        parts = [] if r.status in WHOLE else [str(r.status)]
        parts += [plural(r.damaged_lines, "damaged line")] if r.damaged_lines else []
        parts += [r.notes] if r.notes else []
        if parts:
            lines.append(f"{r.run}: {'; '.join(parts)}")
    return lines
