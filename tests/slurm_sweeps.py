"""Sweep commands on a private Slurm, as users run them.

Helpers to kill processes, wait for runs to get half-way and compare records.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.faults.process import without_clocks
from benchmarks.sweep.members import Member, look_for
from slurm.minicluster.cluster import MiniCluster
from slurm.minicluster.processes import wait_until

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_S = 300.0  # timeout of every wait; only reached after a fault
SUITE = """\
preset: debug
steps: 240
seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
runs:
  - methods: [sac]
    tasks: ['tests.fakes.toys:slow_shore']
    settings: {loop.env_workers: inline, loop.train_ratio: 8, loop.log_every: 40}
"""


class Sweep:
    """One results folder, and the command that fills it.

    `start` runs the command, and can be called several times.
    """

    def __init__(
        self,
        cluster: MiniCluster,
        folder: Path,
        *arguments: str,
        suite: str = SUITE,
        pace_s: float = 0.0,
    ) -> None:
        folder.mkdir(parents=True)
        self.cluster, self._folder, self.out = cluster, folder, folder / "out"
        (folder / "suite.yaml").write_text(suite)
        self._arguments = (
            "sweep",
            "--suite",
            str(folder / "suite.yaml"),
            "--out",
            str(self.out),
            *arguments,
        )
        self.commands: list[subprocess.Popen[bytes]] = []
        self.pace(pace_s)

    def pace(self, seconds: float) -> None:
        """Set the duration of each simulator step from now on."""
        draft = self._folder / "pace.new"
        draft.write_text(str(seconds))
        draft.replace(self._folder / "pace")

    def start(self, **variables: str) -> subprocess.Popen[bytes]:
        """Start the command. `said` returns its output."""
        environment = {
            **self.cluster.environment,
            "PYTHONPATH": str(ROOT),
            "SHORE_PACE": str(self._folder / "pace"),
            **variables,
        }
        words = [sys.executable, "-m", "benchmarks.cli", *self._arguments]
        with (self._folder / f"said-{len(self.commands)}.txt").open("wb") as said:
            command = subprocess.Popen(
                words, env=environment, cwd=self._folder, stdout=said, stderr=said
            )
        self.commands.append(command)
        return command

    def said(self, command: subprocess.Popen[bytes]) -> str:
        return (self._folder / f"said-{self.commands.index(command)}.txt").read_text()

    def finish(self, command: subprocess.Popen[bytes], status: int = 0) -> str:
        """Wait until the command ends; return its output."""
        assert command.wait(PATIENCE_S) == status, self.said(command)
        return self.said(command)

    def members(self) -> list[Member]:
        return look_for(self.out).members

    def run(self, seed: int) -> Member:
        """The run with that seed."""
        (found,) = (each for each in self.members() if each.spec["seed"] == seed)
        return found

    def wait(self, holds: Callable[[], bool]) -> None:
        """Wait until the condition holds; fail after PATIENCE_S."""
        assert wait_until(holds, PATIENCE_S, every=0.3), "\n".join(
            [self.story(), *map(self.said, self.commands)]
        )

    def trains(self, seed: int, starts: int = 1, env_steps: int = 1) -> bool:
        """Whether the seed's run is training in its `starts`-th start, at `env_steps` or beyond."""
        found = [each for each in self.members() if each.spec["seed"] == seed]
        if not found:
            return False
        (now,) = found
        started = sum(event.event == "started" for event in now.events)
        return (
            started == starts
            and now.state == "running"
            and now.env_steps >= env_steps
            and lives(now)
        )

    def queue(self) -> dict[str, str]:
        """State of each job of this results folder in Slurm's queue, by job id.

        Array elements are listed individually.
        """
        names = {path.name for path in (self.out / "slurm").iterdir()}
        return {job.job_id: job.state for job in self.cluster.squeue() if job.name in names}

    def story(self) -> str:
        """State and events of every run, as an assertion message."""
        return "\n".join(
            f"{each.folder.name} {each.state} {[e[1:] for e in each.events]}"
            for each in self.members()
        )

    def is_done_as(self, reference: Path, seeds: set[int]) -> None:
        """Assert that exactly these runs exist, each finished once, with the records of the
        reference.
        """
        assert {each.spec["seed"] for each in self.members()} == seeds
        for run in self.members():
            assert (
                run.state == "done" and run.status is not None and run.status.state == "finished"
            ), self.story()
            ends = [event.exit for event in run.events if event.event == "ended"]
            assert run.events[-1].exit == 0 and ends.count(0) == 1, self.story()
            assert len(ends) == sum(event.event == "started" for event in run.events), self.story()
            assert without_clocks(run.folder) == without_clocks(reference / run.folder.name), (
                run.folder.name
            )

    def close(self) -> None:
        """Terminate remaining commands and their jobs."""
        for command in self.commands:
            if command.poll() is None:
                command.kill()
                command.wait()
        if (self.out / "slurm").is_dir() and (left := list(self.queue())):
            self.cluster.command("scancel", *left)


@contextmanager
def without_warnings(cluster: MiniCluster) -> Iterator[None]:
    """Send no SIGUSR2 on preemption, as on clusters without preempt_send_user_signal."""
    before = cluster.conf.read_text()
    try:
        _configure(cluster, before.replace("SlurmctldParameters=preempt_send_user_signal\n", ""))
        yield
    finally:
        _configure(cluster, before)


def _configure(cluster: MiniCluster, text: str) -> None:
    draft = cluster.conf.with_name("slurm.conf.new")
    draft.write_text(text)
    draft.replace(cluster.conf)  # atomic, since daemons may be reading it
    cluster.command("scontrol", "reconfigure")


def lives(run: Member) -> bool:
    """Whether the process named in the run's status exists."""
    return run.status is not None and psutil.pid_exists(run.status.pid)


def supervisor(run: Member) -> psutil.Process:
    """The process that supervises the run."""
    assert run.status is not None
    found = psutil.Process(run.status.pid).parent()
    assert found is not None and "submitit" in " ".join(found.cmdline())
    return found
