"""Read the spec of a run from spec.json; specs with unknown or missing settings are refused."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import SPEC_FILE
from benchmarks.runs.identity import BEFORE
from benchmarks.runs.reading import DamagedFile, expect, is_a, read_object, spelled
from benchmarks.runs.spec import RunSpec, to_dict
from benchmarks.runs.writing import replace_text


def read_spec(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Read spec.json: `run_id`, `spec` (see `to_dict`) and `starts`.

    Raises BadInput if there is none, DamagedFile if it is not that of a run.
    """
    folder = Path(folder)
    path = folder / SPEC_FILE
    try:
        data = read_object(path)
    except FileNotFoundError as error:
        raise BadInput(f"{folder} is not a run folder: {_why_not(folder)}") from error
    expect(data, {"run_id": str, "spec": dict, "starts": list[dict]}, path)
    expect(data["spec"], _TOP, path, "spec.")
    if data["spec"]["steps"] < 1:
        raise DamagedFile(path, None, f"spec.steps is {data['spec']['steps']}")
    return data


def starts_of(folder: Path) -> list[dict[str, Any]]:
    """The starts that spec.json records; none if the file is missing. Raises like `read_spec`."""
    return read_spec(folder)["starts"] if (folder / SPEC_FILE).exists() else []


def write_spec(folder: Path, spec: RunSpec, starts: Sequence[Mapping[str, Any]]) -> None:
    """Write spec.json, in one step."""
    data = {"run_id": spec.run_id, "spec": to_dict(spec), "starts": starts}
    replace_text(folder / SPEC_FILE, json.dumps(data, indent=2) + "\n")


def _why_not(folder: Path) -> str:
    """Why a folder without a spec is not a run folder, and what to pass instead."""
    if str(folder).startswith(("hub:", "zoo:")):
        return (
            "hub: and zoo: go with `safedreamer evaluate`; `safedreamer pull TARGET DIR` makes a "
            "folder of what hub:TARGET names"
        )
    if (folder / "runs").is_dir():
        return f"its runs are in {folder / 'runs'}"
    return f"it has no {SPEC_FILE}" if folder.is_dir() else "there is no such folder"


# What `status` and `export` use of a spec; `from_dict` checks the rest when the run is trained.
_TOP = {"method": str, "task": str, "obs": str, "seed": int, "steps": int}
_TOP |= {"preset": str, "agent": dict}


def from_dict(data: Mapping[str, Any], agent_type: type) -> RunSpec:
    """Rebuild a spec from `to_dict`. Raises BadInput naming unknown or missing settings."""
    return build(RunSpec, data, agent=agent_type)


def build(cls: Any, data: Mapping[str, Any], prefix: str = "", **types: type) -> Any:
    """Build a (nested) dataclass from plain values; `types` gives the types of fields left open.

    All fields must be known, and present unless listed in `BEFORE`: old files never load partially.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    before = {name: BEFORE[f"{prefix}{name}"] for name in names if f"{prefix}{name}" in BEFORE}
    data = before | dict(data)
    unknown = [f"{prefix}{name}" for name in data if name not in names]
    missing = [f"{prefix}{name}" for name in names if name not in data]
    if unknown or missing:
        raise BadInput(
            f"{cls.__name__} as saved has unknown settings {unknown} and lacks {missing}: another "
            "version wrote it"
        )
    hints = get_type_hints(cls) | types
    return cls(**{name: _value(hints[name], data[name], f"{prefix}{name}.") for name in names})


def _value(hint: Any, value: Any, prefix: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            kind = getattr(hint, "__name__", hint)
            raise BadInput(f"{prefix.rstrip('.')} is {value!r:.100}, not the settings of a {kind}")
        return build(hint, value, prefix)
    if not is_a(value, hint):
        raise BadInput(f"{prefix.rstrip('.')} is {value!r:.100}, which is not {spelled(hint)}")
    if get_origin(hint) is tuple and isinstance(value, list):
        return tuple(value)
    return float(value) if hint is float else value
