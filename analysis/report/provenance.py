"""Provenance of runs: commit, machine, versions and specification, from their `spec.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from analysis.results.frames import Results
from benchmarks.runs.files import SPEC_FILE
from benchmarks.runs.reading import DamagedFile, read_object

OF_THE_RUN = ("seed", "task", "obs")  # in these, runs of one configuration differ


class Origin(NamedTuple):
    """One run's origin; "" for fields that are not recorded.

    `configuration` counts from 1; 0 if there is none.
    """

    commit: str
    hardware: str
    versions: str
    started: str
    configuration: int


class Configuration(NamedTuple):
    """Settings that some runs share, as JSON text."""

    title: str
    runs: int
    text: str


def provenance(results: Results) -> tuple[list[Origin], list[Configuration]]:
    """The origin of every run, and each distinct configuration once."""
    origins, texts, titles = [], {}, {}
    for folder, label in zip(results.runs["folder"], results.runs["label"]):
        saved = _read(Path(folder) / SPEC_FILE) if folder else {}
        spec = saved.get("spec")
        number = 0
        if isinstance(spec, dict):
            shared = {key: value for key, value in spec.items() if key not in OF_THE_RUN}
            text = json.dumps(shared, indent=1)
            number = texts.setdefault(text, len(texts) + 1)
            titles.setdefault(number, []).append(label)
        starts = saved.get("starts")
        starts = starts if isinstance(starts, list) else []
        starts = [start for start in starts if isinstance(start, dict)]
        origins.append(_origin(starts, number))
    configurations = [
        Configuration(", ".join(dict.fromkeys(titles[number])), len(titles[number]), text)
        for text, number in texts.items()
    ]
    return origins, configurations


def _origin(starts: list[dict[str, Any]], number: int) -> Origin:
    """All commits and machines of a run, over its starts, in order."""
    commits = [_commit(_object(start, "git")) for start in starts]
    machines = [_machine(_object(start, "hardware")) for start in starts]
    texts = (", ".join(filter(None, dict.fromkeys(some))) for some in (commits, machines))
    versions = _object(starts[-1], "versions") if starts else {}
    named = ", ".join(f"{package} {version}" for package, version in versions.items())
    started = str(starts[0].get("time", "")) if starts else ""
    return Origin(*texts, named, started, number)


def _commit(git: dict[str, Any]) -> str:
    return str(git.get("commit") or "")[:12] + (" with changes" if git.get("dirty") else "")


def _machine(hardware: dict[str, Any]) -> str:
    devices = hardware.get("devices")
    devices = ", ".join(map(str, devices)) if isinstance(devices, list) else ""
    cores = f"{hardware['cores']} cores" if hardware.get("cores") else ""
    return "; ".join(filter(None, [str(hardware.get("cpu", "")), cores, devices]))


def _read(file: Path) -> dict[str, Any]:
    """The file's JSON object; empty if it is missing or damaged, which the loader reports."""
    try:
        return read_object(file)
    except (OSError, DamagedFile):
        return {}


def _object(tree: dict[str, Any], key: str) -> dict[str, Any]:
    return tree[key] if isinstance(tree.get(key), dict) else {}
