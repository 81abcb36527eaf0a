"""`faults.jsonl`: environment workers replaced during a run, with time, episode and reason; too
many end the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.envs import Fault
from benchmarks.runs.errors import RunFailed
from benchmarks.runs.spec import MAX_ENV_FAULTS
from benchmarks.runs.status import utc_now

FAULTS_FILE = "faults.jsonl"


def describe(fault: Fault, split: str) -> str:
    """The fault in one line."""
    end = "the episode is lost" if fault.lost else "the episode goes on"
    reason = fault.reason.strip().splitlines()[-1]
    return (
        f"environment {fault.env} replaced in {split} episode {fault.episode}, step "
        f"{fault.agent_steps}; {end}: {reason}"
    )


class EnvFaults:
    """Writes and reports every fault. Raises RunFailed at the first fault beyond `limit`."""

    def __init__(self, out: Path, say: Callable[[str], None], limit: int = MAX_ENV_FAULTS) -> None:
        self._path, self._say, self._limit = out / FAULTS_FILE, say, limit
        self._count = 0

    def __call__(self, fault: Fault, split: str, env_steps: int) -> None:
        self._count += 1
        row = {"time": utc_now(), "env_steps": env_steps, "split": split, **fault._asdict()}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._say(describe(fault, split))
        if self._count > self._limit:
            raise RunFailed(
                f"{self._count} environment workers failed, more than --max-env-faults "
                f"{self._limit} (all are in {self._path}); the same command continues from the "
                f"last checkpoint. The last failure: {fault.reason.strip()}"
            )
