"""Run folders as executors and runs leave them, without training, for tests of sweeps."""

from __future__ import annotations

import dataclasses
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.methods import settings
from benchmarks.runs.files import STATUS_FILE
from benchmarks.runs.status import Status, StatusFile
from benchmarks.suites.reading import parse
from benchmarks.suites.suite import Entry, Suite, expand
from benchmarks.sweep import plan, prepare
from benchmarks.sweep.members import look_for


def suite(seeds: str = "0, 1, 2", steps: str = "600", name: str = "mine") -> Suite:
    """Two methods on the toy task."""
    text = f"{{tags: [toy], preset: debug, steps: {steps}, seeds: [{seeds}]}}"
    runs = "runs: [{methods: [osrp, dreamerv3], tasks: ['tests.fakes.toys:shore']}]"
    return parse(text[:-1] + f", {runs}}}", name, f"{name}.yaml")


def entries(of: Suite) -> tuple[Entry, ...]:
    return expand(of, lambda method, task, obs, preset: settings(method, obs, preset))


def submit(out: Path, of: Suite) -> list[Path]:
    """Create the folders of the suite's runs, as a sweep command does."""
    return prepare.prepare(out, of, plan.make_plan(of.name, entries(of), look_for(out).members))


def stand(folder: Path, state: str, silent_seconds: float = 0.0, **fields: Any) -> None:
    """Write a status.json in that state, with a heartbeat `silent_seconds` ago."""
    from benchmarks.methods.saved import load_spec

    status: Status = StatusFile(folder, load_spec(folder))._status
    beat = (datetime.now(UTC) - timedelta(seconds=silent_seconds)).isoformat(timespec="seconds")
    status = dataclasses.replace(status, state=state, heartbeat=beat, **fields)  # type: ignore
    (folder / STATUS_FILE).write_text(json.dumps(dataclasses.asdict(status)))
    written = (folder / STATUS_FILE).stat().st_mtime - silent_seconds
    os.utime(folder / STATUS_FILE, (written, written))
