"""Slurm profiles: the resources and options of jobs on a cluster.

One small YAML file per cluster, checked on load with errors that give the line.

partition: gpu
account: lab
time: 24:00:00                    # as sbatch takes it; a run that needs longer is requeued and goes
                                  on
gres: gpu:1
cpus: 8
setup: [module load cuda]         # shell lines before each start; one that fails ends the job with
                                  its text in the log
python: # what starts Python, per family of methods; `default` for all others
  default: apptainer exec --nv suite.sif python
  omnisafe: /opt/torch/bin/python
env_python: /opt/python3.11/bin/python # runs environments, where the one above has no simulator
sbatch: {mail-type: FAIL}         # any other option of sbatch
"""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import yaml

from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import choose
from benchmarks.runs.reading import read_text
from benchmarks.suites.yaml_nodes import MAX_YAML_BYTES, Nodes, compose

DEFAULT = "default"  # stands for all families without their own Python
WHOLE, POSITIVE = ("cpus", "signal_seconds"), ("memory_gb", "poll_seconds")
OURS = (
    *("array", "job-name", "output", "error", "open-mode", "signal", "requeue", "no-requeue"),
    *("dependency", "export"),
)
# options of sbatch that a field of the profile sets as well
OF_SBATCH = {"cpus-per-task": "cpus", "mem": "memory_gb"} | {
    name: name
    for name in ("partition", "account", "qos", "constraint", "gres", "nodelist", "exclude")
}


@dataclasses.dataclass(frozen=True)
class Profile:
    """Options of jobs. None leaves the choice to the cluster."""

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gres: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    time: str = "24:00:00"  # of one start: minutes, HH:MM:SS or D-HH:MM:SS
    cpus: int | None = None
    # per job, in 1e9 bytes; None: the estimate for each run
    memory_gb: float | None = None
    signal_seconds: int = 120  # warning before the time limit, to finish a step and save
    poll_seconds: float = 15.0  # between polls of the queue
    setup: tuple[str, ...] = ()
    python: tuple[tuple[str, str], ...] = ()  # (family, shell words that start Python)
    # interpreter of environments on the nodes; None: that of the sweep command
    env_python: str | None = None
    # other long options of sbatch; true for one without a value
    sbatch: tuple[tuple[str, str | bool], ...] = ()

    def __post_init__(self) -> None:
        if self.signal_seconds >= 60 * self.minutes:
            raise BadInput(
                f"time={self.time} must be longer than signal_seconds={self.signal_seconds}, "
                "in which a run saves; Slurm is up to a minute early besides"
            )
        for name, _ in self.sbatch:
            ours = OF_SBATCH.get(name)
            if ours and getattr(self, ours) is not None:
                raise BadInput(f"{ours} is given twice, also as {name} of sbatch: leave one out")

    @property
    def minutes(self) -> int:
        """The time limit in minutes, rounded up as Slurm does. Raises BadInput."""
        return minutes(self.time)

    def python_of(self, family: str) -> str:
        """Shell words that start Python for methods of a family. Defaults to this interpreter."""
        known = dict(self.python)
        return known.get(family, known.get(DEFAULT, shlex.quote(sys.executable)))


def minutes(text: str) -> int:
    """Minutes of a time limit as sbatch writes it: M, M:S, H:M:S, D-H, D-H:M or D-H:M:S.

    Rounded up. Raises BadInput for anything else.
    """
    match = re.fullmatch(r"(?:(?P<days>\d+)-)?(?P<clock>\d+(?::\d+){0,2})", text.strip())
    if match is None:
        raise BadInput(f"time={text!r} must be minutes, HH:MM:SS or D-HH:MM:SS")
    parts = [int(part) for part in match["clock"].split(":")]
    if match["days"] is None and len(parts) < 3:
        parts.insert(0, 0)  # without hours
    hours, mins, seconds = (*parts, 0, 0)[:3]
    total = ((int(match["days"] or 0) * 24 + hours) * 60 + mins) * 60 + seconds
    if total == 0:
        raise BadInput(f"time={text!r} must be positive")
    return -(-total // 60)


def load(
    path: str | os.PathLike[str] | None, overrides: Sequence[str] = (), families: Sequence[str] = ()
) -> Profile:
    """Load a profile from a file, with KEY=VALUE overrides.

    Raises BadInput, naming the line at fault.

    `families` are the families of methods that may have their own Python.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            text = read_text(path, MAX_YAML_BYTES)
        except FileNotFoundError as error:
            raise BadInput(f"profile {path} cannot be read: {error.strerror}") from error
        values |= _File(str(path), families).values(compose(text, str(path)))
    overridden: dict[str, Any] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise BadInput(f"--slurm {override}: expected KEY=VALUE, such as partition=gpu")
        source = f"--slurm {override}"
        found = _File(source, families).values(compose(f"{key}: {value}", source))
        if twice := found.keys() & overridden.keys():
            raise BadInput(f"{source}: {min(twice)} is given twice")
        overridden |= found
    return Profile(**values | overridden)


class _File(Nodes):
    """A profile's fields from the nodes of its file."""

    def __init__(self, source: str, families: Sequence[str]) -> None:
        super().__init__(source)
        self._families = (DEFAULT, *families)

    def values(self, root: yaml.Node | None) -> dict[str, Any]:
        if root is None:
            return {}
        known = tuple(field.name for field in dataclasses.fields(Profile))
        return {key: self._value(key, node) for key, node in self.fields(root, known).items()}

    def _value(self, key: str, node: yaml.Node) -> Any:
        if key == "setup":
            return tuple(self.text(item, key) for item in self.items(node, key))
        if key in ("python", "sbatch"):
            read = self._python if key == "python" else self._option
            pairs: dict[str, Any] = {}
            for written, item in self.fields(node, None).items():
                name, value = read(written, item)
                if name in pairs:  # mail-type and mail_type are one option
                    self.wrong(item, f"{name} is given twice, also as {written}")
                pairs[name] = value
            return tuple(pairs.items())
        if key == "time":
            return self._time(node)
        if key in WHOLE or key in POSITIVE:
            number = self.positive(node, key)
            return self.number(node, key, 1) if key in WHOLE else number
        return self.text(node, key)

    def _python(self, name: str, node: yaml.Node) -> tuple[str, str]:
        with self.at(node):
            family = choose("family of methods", name, self._families)
        return family, self.text(node, name)

    def _option(self, name: str, node: yaml.Node) -> tuple[str, str | bool]:
        spelled = name.lstrip("-").replace("_", "-")
        if spelled in OURS:
            self.wrong(node, f"{name} is set by the sweep and cannot be chosen")
        value = self.value(node)
        if value is False or value is None:
            self.wrong(node, f"{name} must be a value, or true for an option without one")
        return spelled, True if value is True else str(value)

    def _time(self, node: yaml.Node) -> str:
        # YAML 1.1 parses 12:30:00 as a base-60 number, so use the text itself.
        text = node.value if isinstance(node, yaml.ScalarNode) else ""
        with self.at(node):
            minutes(text)
        return text
