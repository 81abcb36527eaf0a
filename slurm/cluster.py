"""Interface to Slurm: its commands are called only here and in submitit.

Tests of the executor replace it by a fake.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.envs.factory import ENV_PYTHON
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.plain_text import choose
from slurm.profile import Profile, minutes
from slurm.supervise import Order, Supervisor

COMMANDS = ("sbatch", "squeue", "scancel", "sinfo", "scontrol", "srun")
TIMEOUT_SECONDS = 120.0  # per command; busy controllers are slow
# submitit's limit on requeues at the time limit; runs may need any number of them
REQUEUES = 100_000


class Unreachable(RunFailed):
    """Slurm's controller does not answer."""


class Request(NamedTuple):
    """What the jobs of one array share."""

    profile: Profile
    code: Path  # snapshot of the code
    python: str  # shell words that start Python
    memory_gb: float
    at_once: int | None  # concurrent jobs of the array; None: no limit
    after: str = ""  # id of a job that must succeed first


class Entry(NamedTuple):
    """A job in Slurm's queue."""

    id: str
    state: str
    reason: str
    node: str


class SlurmCluster:
    """The cluster of this machine's Slurm commands. Raises BadInput where there are none."""

    def __init__(self) -> None:
        missing = [name for name in COMMANDS if shutil.which(name) is None]
        if missing:
            raise BadInput(
                f"no {', '.join(missing)} on this machine: run this on the cluster's login "
                "node, or use --cluster local (docs/howto/slurm.md shows a private cluster on one "
                "machine)"
            )
        config = self._call("scontrol", "show", "config")
        found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
        self.max_array = int(found[1]) if found else 1000  # most jobs in one array

    def check(self, request: Request) -> None:
        """Raise BadInput if Slurm would reject such a job."""
        profile = request.profile
        lines = self._call("sinfo", "-h", "-o", "%R|%l").splitlines()
        limits = dict(line.split("|") for line in lines)
        if profile.partition is not None:
            for name in profile.partition.split(","):
                limit = limits[choose("partition", name, limits)].strip()
                if limit not in ("infinite", "n/a", "") and profile.minutes > minutes(limit):
                    raise BadInput(
                        f"time={profile.time} is longer than partition {name} allows ({limit})"
                    )
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "test.sh"
            executor = self._executor(Path(folder), "test", request)
            script.write_text(executor._make_submission_file_text("true", ""), encoding="utf-8")
            try:
                self._call("sbatch", "--test-only", str(script))
            except Unreachable as error:
                raise BadInput(
                    f"Slurm refuses such a job ({error}); change the profile or --slurm KEY=VALUE"
                ) from error

    def submit(self, name: str, folder: Path, request: Request, orders: Sequence[Order]) -> str:
        """Submit an array of jobs, or one job; returns its id. Logs go to `folder`."""
        from submitit.core.utils import FailedJobError

        try:
            jobs = self._executor(folder, name, request).map_array(Supervisor(), orders)
        except FailedJobError as error:
            for litter in folder.glob("*.pkl"):
                litter.unlink()
            raise BadInput(f"Slurm refused the jobs: {' '.join(str(error).split())}") from error
        return jobs[0].job_id.split("_")[0]

    def queue(self, names: Iterable[str]) -> dict[str, dict[int, Entry]]:
        """Jobs still listed by Slurm, by name and index. Raises Unreachable."""
        found: dict[str, dict[int, Entry]] = {name: {} for name in names}
        if not found:
            return found
        which = ("-h", "-r", "-t", "all", f"--name={','.join(found)}")
        text = self._call("squeue", *which, "-o", "%i|%j|%T|%r|%N")
        for line in text.splitlines():
            job, name, state, reason, node = line.split("|")
            index = int(job.partition("_")[2] or 0)
            found[name][index] = Entry(job, state, reason, node)
        return found

    def cancel(self, ids: Sequence[str]) -> None:
        """Cancel these jobs."""
        if ids:
            self._call("scancel", *ids)

    def _executor(self, folder: Path, name: str, request: Request) -> Any:
        import submitit

        profile = request.profile
        executor = submitit.SlurmExecutor(folder, max_num_timeout=REQUEUES, python=request.python)
        chosen = {
            key: getattr(profile, key)
            for key in ("partition", "account", "qos", "constraint", "gres", "nodelist", "exclude")
        }
        extra: dict[str, Any] = {"requeue": True, **dict(profile.sbatch)}
        if request.after:
            extra |= {"dependency": f"afterok:{request.after}", "kill-on-invalid-dep": "yes"}
        executor.update_parameters(
            job_name=name,
            time=profile.minutes,
            cpus_per_task=profile.cpus,
            mem=f"{math.ceil(request.memory_gb * 1e9 / 2**20)}M",
            signal_delay_s=profile.signal_seconds,
            setup=set_up(profile, request.code),
            array_parallelism=request.at_once or 10**6,
            additional_parameters=extra,
            stderr_to_stdout=True,
            **chosen,
        )
        return executor

    def _call(self, *command: str) -> str:
        """Output of a Slurm command. Raises Unreachable with its error output."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unreachable(
                f"{command[0]} did not answer within {TIMEOUT_SECONDS:g} s"
            ) from error
        if done.returncode:
            said = " ".join(done.stderr.split())
            raise Unreachable(f"{command[0]}: {said or f'exit status {done.returncode}'}")
        return done.stdout


def set_up(profile: Profile, code: Path) -> list[str]:
    """Shell lines that precede each start.

    A set-up line that fails ends the job and is named in its log; submitit alone would continue.
    """
    return [
        "trap 'echo \"set-up failed: $BASH_COMMAND\" >&2' ERR",
        "set -e",
        *profile.setup,
        "set +e",
        "trap - ERR",
        *([f"export {ENV_PYTHON}={shlex.quote(profile.env_python)}"] if profile.env_python else []),
        f"export PYTHONPATH={shlex.quote(str(code.resolve()))}${{PYTHONPATH:+:$PYTHONPATH}} "
        "PYTHONSAFEPATH=1",
        # not inherited by srun in Slurm 22.05
        "export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}",
    ]
