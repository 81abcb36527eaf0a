"""A snapshot of the code that a sweep runs, so that later edits do not affect waiting or requeued
runs.

The packages of the suite are copied to `code/<hash of their files>` in the results folder, and runs
have that folder first on their PYTHONPATH. Commit and dirty flag are stored with it, because the
copy is not a git checkout.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from pathlib import Path

from benchmarks.runs.provenance import SNAPSHOT_FILE, git_state

CODE = "code"
PACKAGES = ("agents", "baselines", "benchmarks", "slurm")  # for training; analysis only reads
ROOT = Path(__file__).resolve().parents[2]


def snapshot(out: Path, root: Path = ROOT) -> Path:
    """Copy the packages under `root` to out/code/<hash>, unless it exists; returns that folder."""
    files = sorted(
        path for package in PACKAGES for path in (root / package).rglob("*") if _belongs(path)
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    place = out / CODE / digest.hexdigest()[:12]
    if place.is_dir():
        return place
    draft = place.with_name(f".{place.name}.{uuid.uuid4().hex[:8]}")
    for path in files:
        target = draft / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    (draft / SNAPSHOT_FILE).write_text(
        json.dumps({**git_state(), "snapshot": place.name}) + "\n", encoding="utf-8"
    )
    try:
        os.rename(draft, place)
    except OSError:  # another sweep of the same code was faster
        if not place.is_dir():
            raise
        shutil.rmtree(draft)
    return place


def _belongs(path: Path) -> bool:
    return path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
