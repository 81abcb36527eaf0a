"""Suites of perturbations and strengths: a built-in one by name, or a user's YAML file:

about: what it tests
episodes: 10                  # per cell
seed: 0                       # of the layouts
perturbations:
  mass: [0.5, 1]              # strengths
  sensor_delay:               # default strengths
  my_module:MyWrapper: [1]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import yaml

from benchmarks.runs.errors import BadInput
from benchmarks.runs.places import possible_path
from benchmarks.runs.plain_text import choose
from benchmarks.runs.reading import read_text
from benchmarks.stress.perturbation import Perturbation
from benchmarks.stress.registry import SUITES, find
from benchmarks.suites.yaml_nodes import MAX_YAML_BYTES, Nodes, document

TRANSFER = "transfer"  # a suite of tasks instead of perturbations
PACKAGE = "benchmarks.stress.suites"


class Suite(NamedTuple):
    """Perturbations with their strengths."""

    name: str
    perturbations: tuple[tuple[Perturbation, tuple[float, ...]], ...]
    strict: bool  # raise for perturbations that do not apply, instead of leaving them out
    episodes: int = 10
    seed: int = 0


def names() -> list[str]:
    """Names of the suites that need no file."""
    files = (Path(entry.name) for entry in resources.files(PACKAGE).iterdir())
    return [*SUITES, TRANSFER, *sorted(file.stem for file in files if file.suffix == ".yaml")]


def load(name: str) -> Suite:
    """Load a suite by name or from a .yaml file.

    Raises BadInput, with the line of a file's mistake.
    """
    path = possible_path(name, "suite")
    if path.suffix in (".yaml", ".yml"):
        try:
            return parse(read_text(path, MAX_YAML_BYTES), path.stem, name)
        except FileNotFoundError as error:
            raise BadInput(f"suite {name} cannot be read: {error.strerror}") from error
    choose("suite (a name or a .yaml file)", name, names())
    if name in SUITES or name == TRANSFER:
        found = tuple(find(each) for each in SUITES.get(name, ()))
        return Suite(name, tuple((each, each.strengths) for each in found), False)
    file = resources.files(PACKAGE) / f"{name}.yaml"
    return parse(file.read_text(encoding="utf-8"), name, file.name)


def parse(text: str, name: str, source: str) -> Suite:
    """Parse the text of a suite. `source` names the file in errors."""
    return _File(source).suite(document(text, source, "perturbations"), name)


class _File(Nodes):
    """Builds a suite from the nodes of its file."""

    def suite(self, node: yaml.Node, name: str) -> Suite:
        top = self.fields(node, ("perturbations", "about", "episodes", "seed"))
        if "perturbations" not in top:
            self.wrong(node, "a suite needs perturbations: names with lists of strengths")
        chosen = self.fields(top["perturbations"], None)
        return Suite(
            name,
            tuple(self.perturbation(key, value) for key, value in chosen.items()),
            True,
            self.number(top["episodes"], "episodes", 1) if "episodes" in top else 10,
            self.number(top["seed"], "seed", 0) if "seed" in top else 0,
        )

    def perturbation(self, name: str, node: yaml.Node) -> tuple[Perturbation, tuple[float, ...]]:
        try:
            found = find(name)
        except BadInput as error:
            self.wrong(node, str(error), error)
        usual = isinstance(node, yaml.ScalarNode) and self.value(node) is None
        strengths = (
            found.strengths
            if usual
            else self.distinct(node, name, lambda item: self.positive(item, "a strength"))
        )
        if not strengths:
            self.wrong(node, f"{name} needs a list of strengths")
        for strength in strengths:
            try:
                found.check_strength(strength)
            except BadInput as error:
                self.wrong(node, str(error), error)
        return found, strengths


def narrowed(suite: Suite, only: Sequence[str], strengths: Sequence[float]) -> Suite:
    """The suite restricted to these perturbations, with these strengths for each.

    Named ones need not be part of the suite; planning raises if one does not apply to a policy.
    """
    own: Mapping[str, tuple[float, ...]] = {each.name: given for each, given in suite.perturbations}
    named = [find(name) for name in dict.fromkeys(only)]
    chosen = named or [each for each, _ in suite.perturbations]
    pairs = []
    for each in chosen:
        levels = tuple(strengths) or own.get(each.name) or each.strengths
        if not levels:
            raise BadInput(f"{each.name} has no usual strengths: give --strengths")
        for level in levels:
            each.check_strength(level)
        pairs.append((each, tuple(sorted(set(levels)))))
    return suite._replace(perturbations=tuple(pairs), strict=suite.strict or bool(only))
