"""Agent settings that a trained policy acts with in place of those of its training."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from agents.settings import OptimizerConfig
from benchmarks.methods import Settings, method
from benchmarks.runs.errors import BadInput, as_bad_input
from benchmarks.runs.spec import RunSpec
from benchmarks.suites import overrides


def parsed(texts: Sequence[str]) -> dict[str, object]:
    """Parse NAME=VALUE of `--set`, with values in YAML. Raises BadInput."""
    values: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.replace("-", "_")
        if not equals:
            raise BadInput(f"--set {text}: write each setting once, as NAME=VALUE")
        if name in values:
            raise BadInput(f"--set {text}: {name} is given twice")
        try:
            values[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:  # no date, too deep
            raise BadInput(f"--set {text}: {value!r} is not a value") from error
    return values


def acting(spec: RunSpec, values: Mapping[str, Any]) -> tuple[RunSpec, str]:
    """The spec with changed agent settings, and these as a variant's name ("" without any).

    Raises BadInput for unknown settings, one given twice in two spellings, invalid values, settings
    of the loop, the replay buffer or an optimizer, and for methods whose policies act only as
    trained.
    """
    if not values:
        return spec, ""
    if method(spec.method).engine == "torch":
        raise BadInput(f"{spec.method} acts with the settings of its training: leave --set")
    settings = Settings(spec.steps, spec.loop, spec.replay, spec.agent)
    checked: dict[str, Any] = {}
    written: dict[str, str] = {}
    for given, value in values.items():
        name, checked_value = overrides.check(settings, given, value)
        if name in checked:
            raise BadInput(f"{given} is given twice, also as {written[name]}")
        checked[name], written[name] = checked_value, given
    for name in checked:
        path = name.split(".")[:-1]
        of_training = name.partition(".")[0] in overrides.PARTS
        if of_training or isinstance(functools.reduce(getattr, path, spec.agent), OptimizerConfig):
            raise BadInput(f"{name} is a setting of training: --set takes those of the agent")
    with as_bad_input():
        agent = overrides.apply(settings, checked).agent
    changed = ", ".join(f"{name}={value}" for name, value in checked.items())
    return dataclasses.replace(spec, agent=agent), changed
