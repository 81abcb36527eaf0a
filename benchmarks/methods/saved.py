"""Saved runs with the settings of their method: the spec, and the newest checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from benchmarks.methods import method
from benchmarks.runs import checkpoint
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import CHECKPOINTS, SPEC_FILE, STATUS_FILE
from benchmarks.runs.reading import DamagedFile, expect
from benchmarks.runs.spec import RunSpec
from benchmarks.runs.spec_file import from_dict, read_spec
from benchmarks.runs.status import read_status

DONE = ("finished", "out_of_time")  # states of runs that saved a last checkpoint


class Saved(NamedTuple):
    """A run at its newest checkpoint."""

    spec: RunSpec
    checkpoint: Path
    env_steps: int  # of training
    agent_steps: int


def load_spec(folder: str | os.PathLike[str]) -> RunSpec:
    """Load the run's spec.

    Raises BadInput if the folder is not a run or was written by an incompatible version.
    """
    folder = Path(folder)
    data = read_spec(folder)["spec"]
    try:
        return from_dict(data, method(data["method"]).config_type(data["obs"]))
    except (BadInput, DamagedFile):
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise DamagedFile(folder / SPEC_FILE, None, str(error)) from error


def newest(folder: str | os.PathLike[str]) -> Saved:
    """Find the run's newest checkpoint.

    Raises BadInput like `load_spec`, and if there is none that belongs to the run.
    """
    folder = Path(folder)
    spec = load_spec(folder)
    path, damaged = checkpoint.find(folder / CHECKPOINTS)
    if path is None:
        if damaged:
            faults = "; ".join(f"{path}: {fault}" for path, fault in damaged)
            raise BadInput(f"{folder} has no intact checkpoint ({faults})")
        if (folder / STATUS_FILE).exists() and read_status(folder).state in DONE:
            raise BadInput(
                f"{folder} has no checkpoint: its training is done, and checkpoints were not kept. "
                "Take a policy of the zoo (`python -m benchmarks.zoo` lists them), or train it "
                "again with another --out"
            )
        raise BadInput(f"{folder} has no checkpoint yet")
    counters = checkpoint.read_meta(path, spec.run_id)["counters"]
    expect(counters, {"env_steps": int, "agent_steps": int}, path / checkpoint.META, "counters.")
    return Saved(spec, path, counters["env_steps"], counters["agent_steps"])
