"""The results folder of a stress test: records, prediction errors and settings.

stress.json holds the episodes per cell and the seed of their layouts; the unit of every
perturbation's strength; folder, method, task, cost limit and simulator steps of training of every
run (and every set of changed settings); and commit, versions and hardware of every process that
played cells.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import STRESS_ERRORS_FILE, STRESS_FILE, STRESS_RECORDS_FILE
from benchmarks.runs.provenance import provenance
from benchmarks.runs.reading import expect, read_object
from benchmarks.runs.writing import replace_text
from benchmarks.stress import errors
from benchmarks.stress.perturbation import Policy
from benchmarks.stress.plan import Plan
from benchmarks.stress.play import Cell, Episodes, key_of
from benchmarks.stress.records import Row, read, write
from benchmarks.zoo.trained import ZOO

LOCK = "stress.lock"


@contextlib.contextmanager
def locked(out: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Keep other stress tests out of the folder, which is created.

    Raises BadInput if another one is running there. `warn` is called if the file system has no
    locks.
    """
    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(
                f"{out} is in use by another stress: choose another --out; "
                "`python -m analysis stress A B` draws both together"
            ) from error
        except OSError as error:
            warn(f"{out} cannot be locked ({error.strerror}): run one stress at a time there")
        yield


class StressResults:
    """Existing results, to which finished cells are added.

    Raises BadInput if the folder was made with other episodes, or a run has been trained further
    since.
    """

    def __init__(self, out: Path, plans: Iterable[Plan], episodes: Episodes) -> None:
        self.file, self._about = out / STRESS_RECORDS_FILE, out / STRESS_FILE
        self._errors_file = out / STRESS_ERRORS_FILE
        self.rows: list[Row] = read(self.file)
        self.errors: list[errors.ErrorRow] = errors.read(self._errors_file)
        # read before any file is written, which would mark the checkout as dirty
        self._provenance, self._noted = provenance(), False
        self._facts = self._agreed(episodes)
        for plan in plans:
            self._add(self._facts["runs"], plan.policy)
            self._facts["units"] |= {c.perturbation.name: c.perturbation.unit for c in plan.cells}
        self._write_facts()

    def _write_facts(self) -> None:
        replace_text(self._about, json.dumps(self._facts, indent=1) + "\n")

    def _agreed(self, episodes: Episodes) -> dict[str, Any]:
        asked = {"seed": episodes.seed, "episodes": episodes.per_cell}
        try:
            about = read_object(self._about)
        except FileNotFoundError:
            if self.rows:
                raise BadInput(
                    f"{self.file} is there without {self._about.name}, which says what it holds: "
                    "choose another --out"
                ) from None
            return {**asked, "units": {}, "runs": {}, "provenance": []}
        about.setdefault("provenance", [])  # missing in files from before 2026-11-29
        kinds = {"seed": int, "episodes": int, "units": dict, "runs": dict, "provenance": list}
        expect(about, kinds, self._about)
        for name, value in asked.items():
            if about[name] != value:
                raise BadInput(
                    f"{self._about.parent} holds cells with --{name} {about[name]}, not {value}: "
                    "choose another --out"
                )
        return about

    def _add(self, runs: dict[str, Any], policy: Policy) -> None:
        spec, found, name = policy.spec, policy.trained, f"{policy.spec.run_id} {policy.label}"
        steps = runs.get(name, {}).get("env_steps", found.env_steps)
        if steps != found.env_steps:
            raise BadInput(
                f"{self._about.parent} holds cells of {policy.label} (run {spec.run_id}) after "
                f"{steps:,} simulator steps, and now it has {found.env_steps:,}: choose another "
                "--out"
            )
        runs[name] = {
            "folder": f"{ZOO}{found.entry.name}" if found.entry else str(found.folder),
            "run_id": spec.run_id,
            "method": policy.label,
            "task": spec.task,
            "obs": spec.obs,
            "seed": spec.seed,
            "cost_limit": getattr(found.spec.agent, "cost_limit", None),
            "env_steps": found.env_steps,
        }

    def missing(self, policy: Policy, cells: Iterable[Cell]) -> list[Cell]:
        """The cells that have not been played."""
        done = {row.key for row in self.rows}
        return [cell for cell in cells if key_of(policy, cell) not in done]

    def of(self, policy: Policy, cell: Cell) -> list[Row]:
        """The rows of a cell; empty before it was played."""
        key = key_of(policy, cell)
        return [row for row in self.rows if row.key == key]

    def add(self, rows: Iterable[Row], found: Sequence[errors.ErrorRow] = ()) -> None:
        """Write a finished cell: errors first, since its rows mark it as finished.

        The first call in this process also adds commit, versions and hardware to `stress.json`.
        """
        if not self._noted:
            self._noted = True
            if self._provenance not in self._facts["provenance"]:
                self._facts["provenance"].append(self._provenance)
                self._write_facts()
        if found:
            played = {row.key for row in found}
            self.errors = [row for row in self.errors if row.key not in played] + [*found]
            errors.write(self._errors_file, self.errors)
        rows = list(rows)
        keys = {row.key for row in rows}
        self.rows = [row for row in self.rows if row.key not in keys] + rows
        write(self.file, self.rows)
