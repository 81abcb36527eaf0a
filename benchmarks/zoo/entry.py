"""Entries of the zoo: `METHOD/TASK/SEED` with `policy.npz` (one array per leaf, by its path),
`card.json` and `card.md`. Read without JAX and torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.methods import method
from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import did_you_mean
from benchmarks.runs.reading import DamagedFile, expect, read_object, sha256_of
from benchmarks.runs.spec import RunSpec
from benchmarks.runs.spec_file import from_dict

ROOT = Path(__file__).resolve().parents[2] / "results" / "zoo"
POLICY, CARD, TEXT = "policy.npz", "card.json", "card.md"
_CARD = {"name": str, "run_id": str, "spec": dict, "trained": dict, "scores": dict, "rescore": dict}


class Entry(NamedTuple):
    """A published policy."""

    name: str  # METHOD/TASK[-OBS]/SEED
    folder: Path
    card: dict[str, Any]
    spec: RunSpec


def entry_name(spec: Mapping[str, Any]) -> str:
    """Name of a run's entry from its spec: `bsrp_lag/PointCircle1/0` for SafetyPointCircle1-v0 from
    lidar; other observations are named, as in `bsrp_lag/PointGoal1-coordinates/0`.
    """
    task = re.sub(r"^Safety|-v\d+$", "", spec["task"])
    task += "" if spec["obs"] == "lidar" else f"-{spec['obs']}"
    return f"{spec['method']}/{re.sub(r'[^A-Za-z0-9_.-]', '-', task)}/{spec['seed']}"


def names(root: Path | None = None) -> list[str]:
    """Names of all entries, sorted."""
    root = root or ROOT
    return sorted(card.parent.relative_to(root).as_posix() for card in root.glob(f"*/*/*/{CARD}"))


def find(name: str, root: Path | None = None) -> Entry:
    """The entry of that name.

    Raises BadInput, listing the existing names, or DamagedFile for an unreadable card.
    """
    root = root or ROOT
    name, known = name.strip("/"), names(root)
    if name not in known:
        listing = f"the zoo has {', '.join(known)}"
        if not known:
            listing = f"the zoo ({root}) is empty: it comes with a checkout, not with a wheel"
        raise BadInput(f"no policy {name!r} in the zoo{did_you_mean(name, known)}; {listing}")
    folder = root / name
    card = read_object(folder / CARD)
    expect(card, _CARD, folder / CARD)
    expect(card["trained"], {"env_steps": int, "agent_steps": int}, folder / CARD, "trained.")
    data = card["spec"]
    try:
        spec = from_dict(data, method(data["method"]).config_type(data["obs"]))
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFile(folder / CARD, None, f"spec: {error}") from error
    return Entry(name, folder, card, spec)


def checked_file(entry: Entry) -> Path:
    """The file of its policy. Raises DamagedFile if it does not match the card."""
    file = entry.folder / POLICY
    expect(entry.card, {"parameters": dict}, entry.folder / CARD)
    try:
        found = sha256_of(file)
    except OSError as error:
        raise DamagedFile(file, None, str(error)) from error
    if found != entry.card["parameters"].get("sha256"):
        raise DamagedFile(file, None, f"its SHA-256 is not that of {CARD}")
    return file
