"""Builds a Slurm executor from command-line options, checked before any job is submitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from benchmarks.envs.factory import chosen_python
from benchmarks.methods import families
from benchmarks.runs.errors import BadInput
from slurm.cluster import Request, SlurmCluster
from slurm.drive import Retries
from slurm.profile import DEFAULT, Profile, load
from slurm.slurm import SlurmExecutor


def slurm_executor(
    out: Path,
    file: Path | None,
    overrides: Sequence[str],
    retries: Retries,
    at_once: int | None,
    cluster: SlurmCluster | None = None,
) -> SlurmExecutor:
    """The Slurm executor of a profile file with overrides.

    Raises BadInput for an invalid profile, a machine without Slurm, or jobs Slurm would reject.
    """
    if "%" in str(out.absolute()):
        raise BadInput(
            f"{out.absolute()} holds a %, which Slurm takes for a part of log names: choose "
            "another --out"
        )
    profile = load(file, overrides, families())
    if profile.env_python is None and (python := chosen_python()):
        profile = dataclasses.replace(profile, env_python=python)
    cluster = cluster or SlurmCluster()
    cluster.check(probe(profile, out, at_once))
    return SlurmExecutor(
        cluster, out, profile, retries, at_once, say=lambda text: print(text, flush=True)
    )


def probe(profile: Profile, out: Path, at_once: int | None) -> Request:
    """A request like those of the sweep, with the least memory."""
    return Request(profile, out, profile.python_of(DEFAULT), profile.memory_gb or 1.0, at_once)
