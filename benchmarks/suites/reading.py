"""Suites from YAML, checked on load: every error names file and line.

about: what it compares
tags: [paper]                       # optional
preset: release                     # preset, steps, minutes, seeds, obs and settings here are the
                                    # defaults of all blocks
steps: 2e6                          # simulator steps; the preset's if not given
minutes: 60                         # wall-clock budget of a run; the preset's if not given
seeds: [0, 5, 10]
runs:
  - methods: [osrp, osrp_lag]
    tasks: [core5, my_envs:make]    # task ids, groups of `safedreamer tasks`, your own environments
    obs: vision                     # the published observation of each task if not given
    settings: {loop.num_envs: 2}    # as `safedreamer train` takes them, for the whole block
    variants:                       # named sets of settings
      plain: {}
      short: {planner.horizon: 5}
    grid:                           # every combination, named after its values
      cost_limit: [0, 2, 5]
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from benchmarks.methods import method
from benchmarks.runs.errors import BadInput
from benchmarks.runs.places import possible_path
from benchmarks.runs.plain_text import choose
from benchmarks.runs.reading import read_text
from benchmarks.runs.spec import PRESETS
from benchmarks.suites.suite import Block, Override, Suite, Variant
from benchmarks.suites.yaml_nodes import MAX_YAML_BYTES, Nodes, document, line_of
from benchmarks.tasks import OBS, TaskObs
from benchmarks.tasks import expand as expand_tasks

COMMON = ("preset", "steps", "minutes", "seeds", "obs", "settings")
TOP = ("about", "tags", "runs", *COMMON)
IN_BLOCK = ("methods", "tasks", "variants", "grid", *COMMON)
SUFFIXES = (".yaml", ".yml")
FOLDER = resources.files("benchmarks.suites")


def builtin() -> dict[str, str]:
    """Names of the built-in suites, each with its description."""
    return {name: load(name).about for name in builtin_names()}


def builtin_names() -> list[str]:
    """Names of the built-in suites, sorted."""
    files = (Path(entry.name) for entry in FOLDER.iterdir())
    return sorted(file.stem for file in files if file.suffix == ".yaml")


def load(name: str | os.PathLike[str]) -> Suite:
    """Load a built-in suite by name, or a file. Raises BadInput, with the line in a file."""
    path = possible_path(name, "suite")
    if path.suffix in SUFFIXES or path.is_file():
        try:
            return parse(read_text(path, MAX_YAML_BYTES), path.stem, os.fspath(name))
        except FileNotFoundError as error:
            raise BadInput(f"suite {name} cannot be read: {error.strerror}") from error
    chosen = choose("suite (a name or a .yaml file)", os.fspath(name), builtin_names())
    file = FOLDER / f"{chosen}.yaml"
    return parse(file.read_text(encoding="utf-8"), chosen, file.name)


def parse(text: str, name: str, source: str) -> Suite:
    """Parse a suite. `source` names the file in errors."""
    return _File(source).suite(document(text, source, "runs"), name)


class _File(Nodes):
    """Builds a suite from the nodes of its file."""

    def suite(self, node: yaml.Node, name: str) -> Suite:
        top = self.fields(node, TOP)
        if "runs" not in top:
            self.wrong(node, "a suite needs runs: a list of blocks with methods and tasks")
        common = {key: top[key] for key in COMMON if key in top}
        blocks = tuple(self.block(item, common) for item in self.items(top["runs"], "runs"))
        about = self.text(top["about"], "about") if "about" in top else ""
        tags = self.items(top["tags"], "tags") if "tags" in top else []
        tagged = tuple(self.text(tag, "tags") for tag in tags)
        return Suite(name, about, tagged, blocks, self.source)

    def block(self, node: yaml.Node, common: Mapping[str, yaml.Node]) -> Block:
        own = self.fields(node, IN_BLOCK)
        given = {**common, **own}
        for needed in ("methods", "tasks", "seeds"):
            if needed not in given:
                self.wrong(node, f"a block needs {needed}")
        obs = self.chosen("observation", given["obs"], OBS) if "obs" in given else None
        preset = self.chosen("preset", given["preset"], PRESETS) if "preset" in given else "release"
        settings = [self.settings(part["settings"]) for part in (common, own) if "settings" in part]
        shared = tuple(override for part in settings for override in part)
        tasks = [self.tasks(item, obs) for item in self.items(given["tasks"], "tasks")]
        return Block(
            methods=self.distinct(given["methods"], "methods", self.method),
            tasks=tuple(dict.fromkeys(itertools.chain.from_iterable(tasks))),
            preset=preset,
            steps=self.number(given["steps"], "steps", 1) if "steps" in given else None,
            minutes=self.positive(given["minutes"], "minutes") if "minutes" in given else None,
            seeds=self.distinct(
                given["seeds"], "seeds", lambda item: self.number(item, "a seed", 0)
            ),
            variants=self.variants(given, shared, line_of(node)),
            line=line_of(node),
        )

    def method(self, node: yaml.Node) -> str:
        name = self.text(node, "methods")
        with self.at(node):
            return method(name).name

    def tasks(self, node: yaml.Node, obs: Any) -> tuple[TaskObs, ...]:
        try:
            return expand_tasks(self.text(node, "tasks"), obs)
        except BadInput:
            raise
        except ValueError as error:
            self.wrong(node, str(error), error)

    def variants(
        self, given: Mapping[str, yaml.Node], shared: tuple[Override, ...], line: int
    ) -> tuple[Variant, ...]:
        named = [Variant("", (), line)]
        if "variants" in given:
            found = self.fields(given["variants"], None).items()
            named = [Variant(key, self.settings(value), line_of(value)) for key, value in found]
            if not named:
                self.wrong(given["variants"], "variants is empty")
        grid = self.fields(given["grid"], None) if "grid" in given else {}
        self.once([Override(key, None, line_of(value)) for key, value in grid.items()])
        axes = [
            [Override(key, self.value(item), line_of(item)) for item in self.items(value, key)]
            for key, value in grid.items()
        ]
        result = []
        for variant, point in itertools.product(named, itertools.product(*axes)):
            self.once([*variant.overrides, *point])
            parts = [variant.name] if variant.name else []
            parts += [f"{override.name}={override.value}" for override in point]
            result.append(
                Variant(" ".join(parts), (*shared, *variant.overrides, *point), variant.line)
            )
        return tuple(result)

    def settings(self, node: yaml.Node, prefix: str = "") -> tuple[Override, ...]:
        """Nested or dotted names: {planner: {horizon: 5}} and {planner.horizon: 5} are the same."""
        found: list[Override] = []
        for key, value in self.fields(node, None).items():
            if isinstance(value, yaml.MappingNode):
                found += self.settings(value, f"{prefix}{key}.")
            else:
                found.append(Override(f"{prefix}{key}", self.value(value), line_of(value)))
        if not prefix:
            self.once(found)
        return tuple(found)

    def once(self, overrides: Iterable[Override]) -> None:
        """Raise BadInput if a setting is given twice in one place, in any spelling."""
        seen: set[str] = set()
        for override in overrides:
            name = override.name.replace("-", "_")
            if name in seen:
                raise BadInput(f"{self.source}:{override.line}: {name} is given twice")
            seen.add(name)
