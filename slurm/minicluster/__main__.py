"""`python -m slurm.minicluster up|down|status FOLDER` and `run FOLDER|--temporary -- COMMAND`."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tyro

from benchmarks.cli.common import parse
from benchmarks.process.exits import explained
from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import choose
from slurm.minicluster.cluster import MiniCluster, temporary
from slurm.minicluster.settings import Settings

PROG = "python -m slurm.minicluster"


@dataclasses.dataclass(frozen=True)
class Up:
    """Start a cluster, or those of its daemons that are down."""

    folder: tyro.conf.Positional[Path]
    """Folder of the cluster's configuration, logs and state; created if missing."""
    settings: tyro.conf.OmitArgPrefixes[Settings] = Settings()


@dataclasses.dataclass(frozen=True)
class Down:
    """End every process of a cluster; its logs stay."""

    folder: tyro.conf.Positional[Path]
    """Its folder."""


@dataclasses.dataclass(frozen=True)
class Status(Down):
    """The nodes and jobs of a cluster; 1 if it is not wholly up."""


@dataclasses.dataclass(frozen=True)
class Run:
    """Run a command with a cluster up; down afterwards."""

    folder: tyro.conf.Positional[Path | None] = None
    """As for `up`."""
    temporary: bool = False
    """Use a temporary folder instead, deleted afterwards."""
    settings: tyro.conf.OmitArgPrefixes[Settings] = Settings()


def main(arguments: list[str]) -> int:
    """Run one of the commands.

    Returns 0, 1 (no cluster, or it failed), 2 (bad input), or the exit status of `run`'s command.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(f"{__doc__}\n\nEach has --help.")
        return 0 if arguments else 2
    name, *words = arguments
    at = words.index("--") if name == "run" and "--" in words else len(words)
    commands: dict[str, tuple[type, Callable[[Any], int]]] = {
        "up": (Up, up),
        "down": (Down, down),
        "status": (Status, status),
        "run": (Run, lambda chosen: run(chosen, words[at + 1 :])),
    }

    def command() -> int:
        options, carry_out = commands[choose("command", name, commands)]
        return carry_out(parse(options, words[:at], f"{PROG} {name}", options.__doc__ or ""))

    return explained(PROG, command)


def up(chosen: Up) -> int:
    cluster = MiniCluster(chosen.folder, chosen.settings)
    cluster.up()
    print(f"export SLURM_CONF={cluster.conf}")  # for eval
    return 0


def down(chosen: Down) -> int:
    MiniCluster(chosen.folder).down()
    return 0


def status(chosen: Status) -> int:
    cluster = MiniCluster(chosen.folder)
    nodes = cluster.nodes()
    print(
        "\n".join(f"{name}  {state}" for name, state in nodes.items())
        or f"no controller answers for {cluster.folder}"
    )
    for job in cluster.squeue() if nodes else []:
        print("  ".join(job))
    return 0 if cluster.is_up() else 1


def run(chosen: Run, words: list[str]) -> int:
    if not words:
        raise BadInput(
            "run needs a command after --, such as: run --temporary -- srun -N3 hostname"
        )
    if (chosen.folder is None) != chosen.temporary:
        raise BadInput("run needs either a folder or --temporary")
    if shutil.which(words[0]) is None:
        raise BadInput(f"no command {words[0]}")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with (
        temporary(chosen.settings)
        if chosen.folder is None
        else MiniCluster(chosen.folder, chosen.settings) as cluster
    ):
        command = subprocess.Popen(words, env=cluster.environment)
        try:
            return command.wait()
        finally:
            if command.poll() is None:
                command.terminate()
                command.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
