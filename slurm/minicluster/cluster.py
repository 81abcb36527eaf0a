"""Starts and stops a private cluster, and simulates node failures."""

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
# characters; step managers create sockets in the folder, whose paths have at most 107
LONGEST_FOLDER = 72
UP_S, COMMAND_S = 30.0, 30.0
# Prefixes of variables by which an outer job or the user's settings would affect the cluster.
FOREIGN = tuple(
    f"{name}_" for name in "SLURM SLURMD SBATCH SRUN SALLOC SQUEUE SINFO SCANCEL SCONTROL".split()
)


class ClusterTrouble(RunFailed):
    """A daemon or a Slurm command failed."""


class QueuedJob(NamedTuple):
    """A job as listed by squeue, also after its end. `reason` is why it is pending."""

    job_id: str
    name: str
    state: str
    reason: str
    nodes: str


class MiniCluster:
    """A cluster in a folder of its own.

    As a context manager it is up inside the block and down afterwards, even if this process is
    killed.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Settings = Settings()) -> None:
        self.folder, self.settings = Path(folder).resolve(), settings

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of a process that uses this cluster and no other."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return {**kept, "SLURM_CONF": str(self.conf)}

    def up(self) -> None:
        """Start the cluster, or those of its daemons that are down.

        Raises BadInput if it cannot start with these settings, ClusterTrouble if it failed to.
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
        """Stop every process of the cluster and delete its state; logs stay.

        Jobs may save first, as on cancellation.
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
        for pattern in ("*.conf", "gpu*", SAVED, "munge.key"):
            for file in self.folder.glob(pattern):
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
        """Whether the controller answers and every node accepts jobs."""
        saved = self._saved()
        return saved is not None and {
            name for name, state in self.nodes().items() if _takes_jobs(state)
        } == set(saved.node_names)

    def kill_node(self, node: str, slurmd_only: bool = False) -> None:
        """Simulate a node failure: SIGKILL its slurmd and all processes of its jobs, or only its
        slurmd.
        """
        self._known(node)
        processes.end(
            lambda: [
                one
                for one in self.processes()
                if one.node == node and (one.role == "slurmd" or not slurmd_only)
            ]
        )

    def start_node(self, node: str) -> None:
        """Restart the node's slurmd.

        The controller resumes the node as soon as slurmd has registered.
        """
        self._known(node)
        self._run("slurmd", "-f", str(self.conf), "-N", node)

    def stop_controller(self) -> None:
        """Have the controller save and exit; jobs continue, and `up` restarts it.

        (If killed, it would lose its latest state changes.)
        """
        processes.end(lambda: [one for one in self.processes() if one.role == "slurmctld"], 10.0)

    def nodes(self) -> dict[str, str]:
        """State of each node, such as "idle", "mixed", "down*".

        Empty while no controller answers.
        """
        if not self.conf.is_file():  # else Slurm's commands would search the network
            return {}
        try:
            lines = self.command("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines()
        except ClusterTrouble:
            return {}
        return dict(line.split() for line in lines)

    def squeue(self) -> list[QueuedJob]:
        """Pending, running and recently ended jobs; array elements are listed one by one."""
        lines = self.command("squeue", "-hr", "-t", "all", "-o", "%i|%j|%T|%r|%N").splitlines()
        return [QueuedJob(*line.split("|")) for line in lines]

    def command(self, program: str, *arguments: str) -> str:
        """Run a Slurm command and return its output.

        Raises ClusterTrouble with its error output if it fails.
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
        """Settings of the cluster in the folder, None if there is none."""
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
        """Create device files of the kind of /dev/null, one per GPU.

        Slurm numbers GPUs by the names of their device files and never opens them.
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
        """Start the daemons that are not running and wait until every node accepts jobs."""
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
        # --force: munged refuses folders that other users cannot access, such as a private one
        names = {
            "socket": conf.munge_socket(self.folder),
            "key-file": key,
            "log-file": conf.log_file(self.folder, "munged"),
        }
        names |= {"pid-file": run / "munged.pid", "seed-file": run / "munged.seed"}
        self._run("munged", "--force", *(f"--{name}={path}" for name, path in names.items()))

    def _run(self, daemon: str, *arguments: str) -> None:
        """Start a daemon, which detaches itself from this process.

        Its output before it opens its own log goes to start.txt.
        """
        words = [packages.find(daemon) or daemon, *arguments]
        log = self.folder / "log" / "start.txt"
        with log.open("a+b") as said:
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
            last = log.read_text(errors="replace").strip().splitlines()[-1:]
            raise ClusterTrouble(f"{daemon} ended with status {done.returncode}: {' '.join(last)}")


@contextlib.contextmanager
def temporary(settings: Settings = Settings()) -> Iterator[MiniCluster]:
    """A cluster in a temporary folder, deleted afterwards."""
    folder = tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)
    with folder, MiniCluster(Path(folder.name), settings) as cluster:
        yield cluster


def _takes_jobs(state: str) -> bool:
    # "-" marks a node reserved by the backfill scheduler
    return state.rstrip("-") in ("idle", "mixed", "allocated", "completing", "planned")
