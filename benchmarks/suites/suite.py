"""A suite as a value, and its expansion: methods x tasks x variants x seeds, each a RunSpec.

Nothing here reads files or starts simulators: the defaults of a method on a task are passed in as a
function.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.methods import Settings, check_spec
from benchmarks.runs.errors import BadInput, as_bad_input
from benchmarks.runs.identity import diff, flatten
from benchmarks.runs.plain_text import one_line
from benchmarks.runs.spec import RunSpec, to_dict
from benchmarks.suites.names import MAX_TASK_BYTES, file_name, label
from benchmarks.suites.overrides import apply, check
from benchmarks.tasks import TaskObs

Defaults = Callable[[str, str, str, str], Settings]  # of (method, task, obs, preset)


class Override(NamedTuple):
    """A setting and its value, with their line in the suite's file."""

    name: str
    value: Any
    line: int


class Variant(NamedTuple):
    """Overrides under a name that distinguishes them from other variants of a method.

    The name "" stands for the method without a variant.
    """

    name: str
    overrides: tuple[Override, ...]
    line: int


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of a suite: every combination of its fields."""

    methods: tuple[str, ...]
    tasks: tuple[TaskObs, ...]
    preset: str
    steps: int | None  # simulator steps; None: the preset's
    minutes: float | None  # wall-clock budget of each run; None: the preset's
    seeds: tuple[int, ...]
    variants: tuple[Variant, ...]
    line: int


@dataclasses.dataclass(frozen=True)
class Suite:
    """A named set of runs."""

    name: str
    about: str
    tags: tuple[str, ...]
    blocks: tuple[Block, ...]
    source: str  # file name, for messages


class Entry(NamedTuple):
    """One run of a suite."""

    spec: RunSpec
    variant: str

    @property
    def label(self) -> str:
        """Method, and variant where there is one."""
        return label(self.spec.method, self.variant)

    @property
    def folder_name(self) -> str:
        """A readable description of the run, and its run id."""
        task = file_name(self.spec.task, MAX_TASK_BYTES)
        parts = (
            task,
            self.spec.obs,
            file_name(self.spec.method),
            file_name(self.variant),
            f"seed{self.spec.seed}",
            self.spec.run_id,
        )
        return "-".join(part for part in parts if part)


def expand(suite: Suite, defaults: Defaults) -> tuple[Entry, ...]:
    """Return the runs of a suite, without duplicates.

    If variants lead to the same configuration, the first one's name is kept. Raises BadInput, with
    the line of the suite's file, also for runs with different settings and the same label.
    """
    cached = functools.cache(defaults)
    found: dict[str, Entry] = {}
    first: dict[Hashable, RunSpec] = {}  # by what tables and figures tell apart
    for block in suite.blocks:
        for method, (task, obs), variant in itertools.product(
            block.methods, block.tasks, block.variants
        ):
            with as_bad_input(f"{suite.source}:{block.line}"):
                chosen = cached(method, task, obs, block.preset)
            values = {}
            for override in variant.overrides:
                with as_bad_input(f"{suite.source}:{override.line}"):
                    name, value = check(chosen, override.name, override.value)
                values[name] = value
            with as_bad_input(f"{suite.source}:{variant.line}"):
                chosen = apply(chosen, values)
                for seed in block.seeds:
                    spec = _spec(block, chosen, method, task, obs, seed)
                    if spec.run_id in found:
                        continue
                    entry = found[spec.run_id] = Entry(spec, variant.name)
                    costs = flatten(dataclasses.asdict(spec.agent)).get("model.cost_source")
                    alike = first.setdefault((entry.label, task, obs, costs), spec)
                    _check_seeds(alike, spec, entry.label)
    return tuple(found.values())


def _check_seeds(first: RunSpec, spec: RunSpec, label: str) -> None:
    """Raise BadInput if two runs of one label differ in more than the seed."""
    different = diff(to_dict(first), to_dict(dataclasses.replace(spec, seed=first.seed)))
    if different:
        shown = "; ".join(f"{name} {old!r}, here {new!r}" for name, (old, new) in different.items())
        raise BadInput(
            f"{label} on {spec.task} ({spec.obs}) has other settings in a block above "
            f"({one_line(shown)}), and its runs would be averaged with these: name them with "
            "variants:"
        )


def _spec(block: Block, chosen: Settings, method: str, task: str, obs: str, seed: int) -> RunSpec:
    steps = block.steps if block.steps is not None else chosen.steps
    minutes = block.minutes if block.minutes is not None else chosen.max_minutes
    of_run = (method, task, obs, seed, steps, block.preset)
    spec = RunSpec(*of_run, chosen.loop, chosen.replay, chosen.agent, max_minutes=minutes)
    check_spec(spec)
    if spec.replay.directory:  # each run needs one of its own
        own = str(Path(spec.replay.directory) / spec.run_id)
        spec = dataclasses.replace(spec, replay=dataclasses.replace(spec.replay, directory=own))
    return spec
