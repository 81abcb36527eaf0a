"""Brings a private cluster up and down, and does to its nodes what happens to real ones."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.reading import read_object, typed
from slurm.minicluster import conf, guard, packages, ports, processes
from slurm.minicluster.processes import Found, wait_until
from slurm.minicluster.settings import Settings

SAVED = "cluster.json"
# characters; step managers listen on sockets in there, whose names have at most 107
LONGEST_FOLDER = 72
UP_S, COMMAND_S = 30.0, 30.0
# Variables by which a job, or a user's habits, would reach into the private cluster.
FOREIGN = (
    "SLURM_",
    "SLURMD_",
    "SBATCH_",
    "SRUN_",
    "SALLOC_",
    "SQUEUE_",
    "SINFO_",
    "SCANCEL_",
    "SCONTROL_",
)


class ClusterTrouble(RunFailed):
    """A daemon or one of Slurm's commands did not do what it should."""


class QueuedJob(NamedTuple):
    """A job as squeue knows it, also for some minutes after its end. `reason` says why it waits."""

    job_id: str
    name: str
    state: str
    reason: str
    nodes: str


class MiniCluster:
    """A cluster in a folder of its own.

    As a context manager it is up within and down after, also where this process is killed.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Settings = Settings()) -> None:
        self.folder, self.settings = Path(folder).resolve(), settings

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """Variables for a process that shall use this cluster and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return {**kept, "SLURM_CONF": str(self.conf)}

    def up(self) -> None:
        """Bring up the cluster, or what is down of it.

        Raises BadInput where that cannot work, ClusterTrouble where it did not.
        """
        if absent := packages.missing():
            raise BadInput(absent)
        if len(str(self.folder)) > LONGEST_FOLDER:
            raise BadInput(
                f"{self.folder} has more than {LONGEST_FOLDER} characters, too many for the "
                "names of sockets"
            )
        if (saved := self._saved()) is not None:
            if not saved.fits(self.settings):
                raise BadInput(
                    f"{self.folder} is a cluster of other settings ({saved}); take it down first"
                )
            self.settings = saved
            self._start()
            return
        with ports.claim(conf.own_address(), 1 + self.settings.nodes, self.settings.port) as port:
            self._configure(port)
            try:
                self._start()
            except BaseException:
                self.down()
                raise

    def down(self) -> None:
        """End every process of the cluster and forget its jobs; logs stay.

        Jobs may save first, as when they are cancelled.
        """
        for role, grace_s in (
            ("slurmctld", 5.0),
            ("slurmd", 2.0),
            (processes.JOB, conf.KILL_WAIT_S),
            ("", 0.0),
        ):
            processes.end(
                lambda role=role: [one for one in self.processes() if role in ("", one.role)],
                grace_s,
            )
        for name in ("run", "state", "spool"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for file in (
            *self.folder.glob("*.conf"),
            *self.folder.glob("gpu*"),
            self.folder / SAVED,
            self.folder / "munge.key",
        ):
            file.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self._guard = guard.start(self.folder)
        try:
            self.up()
        except BaseException:
            guard.dismiss(self._guard)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.down()
        guard.dismiss(self._guard)

    def is_up(self) -> bool:
        """Whether the controller answers and every node takes jobs."""
        saved = self._saved()
        return saved is not None and {
            name for name, state in self.nodes().items() if _takes_jobs(state)
        } == set(saved.node_names)

    def kill_node(self, node: str, slurmd_only: bool = False) -> None:
        """The death of a node: SIGKILL for its slurmd and every process of its jobs, or for its
        slurmd alone.
        """
        self._known(node)

        def of_node() -> list[Found]:
            return [
                one
                for one in self.processes()
                if one.node == node and (one.role == "slurmd" or not slurmd_only)
            ]

        processes.end(of_node)

    def start_node(self, node: str) -> None:
        """Start the node's slurmd again.

        The controller takes it back as soon as it has registered.
        """
        self._known(node)
        self._run("slurmd", "-f", str(self.conf), "-N", node)

    def stop_controller(self) -> None:
        """Have the controller save and end; jobs go on, and `up` starts it again.

        (Killed, it would forget what it did last.)
        """
        processes.end(lambda: [one for one in self.processes() if one.role == "slurmctld"], 10.0)

    def nodes(self) -> dict[str, str]:
        """State of each node, such as "idle", "mixed", "down*".

        Empty while no controller answers.
        """
        if not self.conf.is_file():  # Slurm's commands would look for a controller in the network
            return {}
        try:
            lines = self.command("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines()
        except ClusterTrouble:
            return {}
        return dict(line.split() for line in lines)

    def squeue(self) -> list[QueuedJob]:
        """Jobs that wait, run or ended lately, elements of arrays one by one."""
        lines = self.command("squeue", "-hr", "-t", "all", "-o", "%i|%j|%T|%r|%N").splitlines()
        return [QueuedJob(*line.split("|")) for line in lines]

    def command(self, program: str, *arguments: str) -> str:
        """What one of Slurm's commands prints.

        Raises ClusterTrouble, with its own words, where it fails.
        """
        words = [packages.find(program) or program, *arguments]
        try:
            done = subprocess.run(
                words,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=COMMAND_S,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterTrouble(f"{program} did not answer within {COMMAND_S:g} s") from error
        if done.returncode:
            raise ClusterTrouble(
                f"{program} ended with status {done.returncode}: {done.stderr.strip()}"
            )
        return done.stdout

    def processes(self) -> list[Found]:
        """Every living process of the cluster and of its jobs."""
        return processes.find(self.folder)

    def _known(self, node: str) -> None:
        if node not in self.settings.node_names:
            raise BadInput(f"no node {node}; there are {', '.join(self.settings.node_names)}")

    def _saved(self) -> Settings | None:
        """The settings of the cluster in the folder, None where there is none."""
        file = self.folder / SAVED
        return typed(Settings, read_object(file), file) if os.path.lexists(file) else None

    def _configure(self, port: int) -> None:
        """Write the configuration of a new cluster."""
        auth = self.settings.auth
        if auth == "auto":
            auth = "munge" if packages.find("munged") else "none"
        self.settings = dataclasses.replace(self.settings, port=port, auth=auth)
        for name in ("run", "log", "state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        self.conf.write_text(conf.slurm_conf(self.folder, self.settings), encoding="utf-8")
        if self.settings.gpus:
            self._make_gpus()
        (self.folder / SAVED).write_text(
            json.dumps(dataclasses.asdict(self.settings)) + "\n", encoding="utf-8"
        )

    def _make_gpus(self) -> None:
        """Device files of /dev/null's kind.

        Slurm numbers GPUs by the names of theirs, and never opens them.
        """
        (self.folder / "gres.conf").write_text(
            conf.gres_conf(self.folder, self.settings), encoding="utf-8"
        )
        for number in range(self.settings.gpus):
            try:
                os.mknod(self.folder / f"gpu{number}", stat.S_IFCHR | 0o600, os.makedev(1, 3))
            except PermissionError as error:
                raise BadInput(
                    f"gpus={self.settings.gpus} needs root, which alone can make device files"
                ) from error

    def _start(self) -> None:
        """Start the daemons that do not live and wait until every node takes jobs."""
        living = {(one.role, one.node) for one in self.processes()}
        if self.settings.auth == "munge" and ("munged", "") not in living:
            self._start_munged()
        if ("slurmctld", "") not in living:
            self._run("slurmctld", "-f", str(self.conf))
        for node in self.settings.node_names:
            if ("slurmd", node) not in living:
                self.start_node(node)
        if not wait_until(self.is_up, UP_S):
            states = (
                ", ".join(f"{name} is {state}" for name, state in self.nodes().items())
                or "no controller answers"
            )
            raise ClusterTrouble(
                f"the cluster did not come up within {UP_S:g} s ({states}); its logs are in "
                f"{self.folder}/log"
            )

    def _start_munged(self) -> None:
        key, run = self.folder / "munge.key", self.folder / "run"
        if not key.exists():
            key.touch(mode=0o600)
            key.write_bytes(secrets.token_bytes(128))
        # --force: munged refuses folders that other users cannot reach, which is what a private one
        # may well be
        names = {
            "socket": conf.munge_socket(self.folder),
            "key-file": key,
            "log-file": conf.log_file(self.folder, "munged"),
        }
        names |= {"pid-file": run / "munged.pid", "seed-file": run / "munged.seed"}
        self._run("munged", "--force", *(f"--{name}={path}" for name, path in names.items()))

    def _run(self, daemon: str, *arguments: str) -> None:
        """Start a daemon, which leaves this process by itself.

        What it says before it has a log of its own goes to start.txt.
        """
        words = [packages.find(daemon) or daemon, *arguments]
        with (self.folder / "log" / "start.txt").open("a+b") as said:
            done = subprocess.run(
                words,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=COMMAND_S,
                cwd="/",
            )
        if done.returncode:
            last = (
                (self.folder / "log" / "start.txt")
                .read_text(errors="replace")
                .strip()
                .splitlines()[-1:]
            )
            raise ClusterTrouble(f"{daemon} ended with status {done.returncode}: {' '.join(last)}")


@contextlib.contextmanager
def temporary(settings: Settings = Settings()) -> Iterator[MiniCluster]:
    """A cluster in a temporary folder, gone afterwards."""
    folder = tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)
    with folder, MiniCluster(Path(folder.name), settings) as cluster:
        yield cluster


def _takes_jobs(state: str) -> bool:
    # "-": the scheduler has plans for it
    return state.rstrip("-") in ("idle", "mixed", "allocated", "completing", "planned")
