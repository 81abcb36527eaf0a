"""`python -m benchmarks.faults report DIR...`.

Write the reports of kills and injected faults as one page of Markdown tables.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.runs.places import check_file
from benchmarks.runs.reading import read_object

INTRODUCTION = """# Injected faults

Real training processes are killed, run out of resources and receive invalid input; a run that
continues has to end with the `episodes.csv` and `metrics.jsonl` of an undisturbed run, except for
columns of time. Made by the commands below; the JSON files beside this page hold commit, versions
and machine.
"""


@dataclasses.dataclass(frozen=True)
class ReportOptions:
    """Write README.md next to the reports."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with kills-*.json and injected.json."""


def kills_table(report: dict[str, Any]) -> list[str]:
    """Command, verdict and one row per kill."""
    settings, kills = report["settings"], report["kills"]
    flags = [
        f"--{name} {value}"
        for name, value in settings.items()
        if name not in ("out", "mapped", "kills", "task", "preset")
    ]
    flags += ["--mapped"] if settings["mapped"] else []
    verdict = ", ".join(
        f"`{name}` {'identical' if same else 'DIFFERENT'}" for name, same in report["equal"].items()
    )
    lines = [
        f"## {settings['method']}, {settings['obs']}: {len(kills)} kills, {verdict}",
        "",
        f"    python -m benchmarks.faults kills --out DIR {' '.join(flags)} -- "
        f"{' '.join(report['extra'])}",
        "",
        "| kill | after | while in state | simulator steps | of the checkpoint it left |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {i} | {kill['seconds']:.1f} s | {kill['state']} | {kill['env_steps']:,} | "
        f"{kill['checkpoint']:,} |"
        for i, kill in enumerate(kills, 1)
    ]
    return [*lines, ""]


def injected_table(report: dict[str, Any]) -> list[str]:
    """One row per fault."""
    lines = [
        "## Other faults",
        "",
        "    python -m benchmarks.faults inject --out DIR",
        "",
        "| fault | exit status | after | finished run | message |",
        "|---|---|---|---|---|",
    ]
    verdict = {None: "", True: "identical", False: "DIFFERENT"}
    for outcome in report["outcomes"]:
        said = outcome["said"].replace("|", "/")
        seconds, finished = f"{outcome['seconds']:.1f} s", verdict[outcome["as_undisturbed"]]
        lines.append(
            f"| {outcome['fault']} | {outcome['exit_status']} | {seconds} | {finished} | {said} |"
        )
    return [*lines, ""]


def main(options: ReportOptions) -> int:
    lines: list[str] = [INTRODUCTION]
    for path in sorted(options.folder.glob("kills-*.json")):
        lines += kills_table(read_object(path))
    injected = options.folder / "injected.json"
    if injected.is_file():
        lines += injected_table(read_object(injected))
    page = options.folder / "README.md"
    check_file(page, "FOLDER")
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(f"wrote {page}")
    return 0
