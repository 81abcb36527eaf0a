"""Every public function that takes a path takes text and any os.PathLike, with the same result."""

from __future__ import annotations

import importlib
import inspect
import json
import os
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from agents.api import ArraySpec
from agents.replay import journal
from agents.replay.buffer import Replay
from benchmarks.runs import checkpoint
from benchmarks.runs.spec import to_dict
from slurm.minicluster.cluster import MiniCluster
from tests.analysis_runs import write_run
from tests.specs import spec_of

# Modules whose public functions are for users and other packages.
MODULES = (
    *(
        f"benchmarks.runs.{name}"
        for name in (
            "reading", "records", "attempts", "spec", "status", "ownership", "checkpoint",
            "places", "folder", "tables", "policy_file",
        )
    ),
    "benchmarks.methods.saved",
    "benchmarks.sweep.members",
    "benchmarks.sweep.overview",
    "benchmarks.sweep.logs",
    "benchmarks.sweep.export",
    "benchmarks.suites.reading",
    "benchmarks.training.launch",
    "benchmarks.training.loop",
    "slurm.profile",
    "agents.replay.journal",
    "agents.safedreamer.release.checkpoint",
    "agents.safedreamer.release.inert_pickle",
    "analysis.read.load",
    "analysis.read.diagnosis",
)  # fmt: skip
# Internal functions, whose paths no user passes: context managers and parts of the loop.
INTERNAL = {
    "benchmarks.runs.ownership.own",
    "benchmarks.runs.checkpoint.explain_full_disk",
    "benchmarks.runs.folder.claim",
    "benchmarks.sweep.members.file_clock",
    "benchmarks.sweep.members.modified",
    "benchmarks.sweep.overview.compared",
}


class Place:
    """A path that is neither text nor a pathlib.Path."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return str(self._path)


@pytest.mark.parametrize("name", MODULES)
def test_no_public_function_takes_a_pathlib_path_alone(name):
    module = importlib.import_module(name)
    for function in vars(module).values():
        if inspect.isfunction(function) and function.__module__ == name:
            if function.__name__.startswith("_") or f"{name}.{function.__name__}" in INTERNAL:
                continue
            for parameter in inspect.signature(function).parameters.values():
                hint = str(parameter.annotation)
                callback = "Callable" in hint
                assert callback or "Path" not in hint or "os.PathLike" in hint, (
                    function, parameter
                )  # fmt: skip


@pytest.fixture
def files(tmp_path):
    """A run with records, a checkpoint, a saved replay and the other files that readers read."""
    run = write_run(tmp_path / "run", "osrp", evals=[(1000, 1.0, 2.0)])
    spec = spec_of("dreamerv3", "lidar", steps=1000)
    described = {"run_id": "run-id", "spec": to_dict(spec), "starts": []}
    (run / "spec.json").write_text(json.dumps(described))
    meta = {"run_id": spec.run_id, "counters": COUNTERS, "positions": {}}
    checkpoint.save(run / "checkpoints", 1000, {"learner": {"w": jnp.ones(2)}}, meta)
    replay = Replay(SPECS, capacity=20, num_streams=1)
    replay.add({"reward": np.ones((1,), np.float32)})
    journal.save(replay, run / "replay")
    (tmp_path / "own.yaml").write_text(SUITE)
    (tmp_path / "profile.yaml").write_text("partition: gpu\n")
    return tmp_path


SPECS = {"reward": ArraySpec((), "float32")}
COUNTERS = {"env_steps": 1000, "agent_steps": 1000}
SUITE = (
    "preset: debug\nsteps: 100\nseeds: [0]\nruns:\n  - methods: [osrp]\n"
    "    tasks: [SafetyPointGoal1-v0]\n    obs: lidar\n"
)


def readings(module: str, function: str, *rest: object, at: str = "run"):
    """A call of a reader that returns its result as text, for comparison."""
    found = getattr(importlib.import_module(module), function)
    return lambda files, kind: str(found(kind(files / at), *rest))


CALLS = {
    "read_bytes": readings("benchmarks.runs.reading", "read_bytes", at="run/spec.json"),
    "read_end": readings("benchmarks.runs.reading", "read_end", 9, at="run/spec.json"),
    "read_object": readings("benchmarks.runs.reading", "read_object", at="run/spec.json"),
    "read_records": readings("benchmarks.runs.records", "read_records"),
    "read_rows": readings("benchmarks.runs.records", "read_rows", at="run/episodes.csv"),
    "attempts": readings("benchmarks.runs.attempts", "read"),
    "read_spec": readings("benchmarks.runs.spec_file", "read_spec"),
    "read_owner": readings("benchmarks.runs.ownership", "read_owner"),
    "find": readings("benchmarks.runs.checkpoint", "find", at="run/checkpoints"),
    "load_flat": readings(
        "benchmarks.runs.checkpoint", "load_flat", "learner", at="run/checkpoints/000000001000"
    ),
    "check_folder": readings("benchmarks.runs.places", "check_folder", at="run/new"),
    "check_file": readings("benchmarks.runs.places", "check_file", at="run/new"),
    "load_spec": readings("benchmarks.methods.saved", "load_spec"),
    "newest": readings("benchmarks.methods.saved", "newest"),
    "look": readings("benchmarks.sweep.members", "look", at="."),
    "where": readings("benchmarks.sweep.members", "where"),
    "evaluations": readings("benchmarks.sweep.overview", "evaluations"),
    "tail": readings("benchmarks.sweep.logs", "tail", 3, at="own.yaml"),
    "suite": readings("benchmarks.suites.reading", "load", at="own.yaml"),
    "profile": readings("slurm.profile", "load", at="profile.yaml"),
    "journal": readings("agents.replay.journal", "check", 1, at="run/replay"),
    "analysis": lambda files, kind: str(
        importlib.import_module("analysis.read.load").load(kind(files / "run")).episodes
    ),
    "MiniCluster": lambda files, kind: str(MiniCluster(kind(files / "cluster")).folder),
}


@pytest.mark.parametrize("call", CALLS)
def test_text_and_pathlikes_are_taken_like_paths(files, call):
    expected = CALLS[call](files, Path)
    assert CALLS[call](files, os.fspath) == expected
    assert CALLS[call](files, Place) == expected
