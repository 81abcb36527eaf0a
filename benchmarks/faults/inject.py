"""Inject faults into real training processes, one after the other, and report the outcomes as a
table and `injected.json`.

A run that continues must end with the same files as an undisturbed one, byte for byte except for
clocks; a run that cannot continue must report the reason.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from benchmarks.faults.lab import Lab, Outcome, ended, small_disk, started, until
from benchmarks.process.signals import HEARD
from benchmarks.runs import checkpoint
from benchmarks.runs.files import CHECKPOINTS, OWNER_FILE
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import write_report
from benchmarks.runs.reading import read_object
from benchmarks.runs.status import State
from benchmarks.training.env_faults import FAULTS_FILE


@dataclasses.dataclass(frozen=True)
class InjectOptions:
    """Inject faults into real training processes, one after the other."""

    out: Path
    """Folder for the runs and the report."""
    only: str = ""
    """Only faults whose name matches this regular expression."""


Injection = Callable[..., Outcome]
INJECTIONS: dict[str, Callable[[Lab], Outcome]] = {}


def injection(name: str, **settings: Any) -> Callable[[Injection], Injection]:
    """Register a function with some of its arguments as an injection."""

    def enter(function: Injection) -> Injection:
        INJECTIONS[name] = functools.partial(function, **settings)
        return function

    return enter


def learning(state: State, env_steps: int) -> bool:
    """Whether the first updates are done."""
    return state == "train" and env_steps > 2600


def first_update(_: State, env_steps: int) -> bool:
    """Whether the first update is due, which has to be compiled unless cached."""
    return env_steps >= 2000


def _signal(
    lab: Lab,
    number: signal.Signals,
    where: Callable[[State, int], bool],
    compiling: bool = False,
    twice: bool = False,
) -> Outcome:
    run = lab.cpu(compiling)
    process = run.start()
    until(process, run, where)
    time.sleep(3.0 if compiling else 0.3)
    since = time.perf_counter()
    process.send_signal(number)
    if twice:
        time.sleep(0.5)
        process.send_signal(number)
    return ended(process, since)


for _number in HEARD:
    injection(f"{_number.name} while training, preset cpu", number=_number, where=learning)(_signal)
_term = functools.partial(injection, number=signal.SIGTERM)
_term("SIGTERM while evaluating, preset cpu", where=lambda state, _: state == "evaluate")(_signal)
_term("SIGTERM while compiling, preset cpu", where=first_update, compiling=True)(_signal)
_twice = {"where": first_update, "compiling": True, "twice": True}
injection("SIGINT twice, preset cpu, compiling", number=signal.SIGINT, **_twice)(_signal)


def _worker(
    lab: Lab, folder: str, number: signal.Signals, options: tuple[str, ...] = ()
) -> Outcome:
    run = lab.small(folder, *options)
    process = run.start()
    until(process, run, lambda _, env_steps: env_steps > 2500)
    since = time.perf_counter()
    psutil.Process(process.pid).children()[1].send_signal(number)
    return lab.compared(run, ended(process, since, pattern="environment"))


injection(
    "an environment's process is killed (SIGKILL)", folder="worker-killed", number=signal.SIGKILL
)(_worker)
injection(
    "an environment's process hangs (SIGSTOP, time limit 5 s)",
    folder="worker-hangs",
    number=signal.SIGSTOP,
    options=("--env-timeout-seconds", "5"),
)(_worker)


@injection("an environment raises in the middle of episodes")
def _raising(lab: Lab) -> Outcome:
    run = lab.small(
        "raising", "--max-env-faults", "1000", task="benchmarks.faults.envs:raising", steps=4000
    )
    outcome = started(run, pattern="finished")
    lost = len((run.out / FAULTS_FILE).read_text(encoding="utf-8").splitlines())
    return outcome._replace(
        said=f"{outcome.said}; {lost} episodes lost, each with its reason in {FAULTS_FILE}"
    )


@injection("an environment raises in more episodes than --max-env-faults 5")
def _raising_too_often(lab: Lab) -> Outcome:
    run = lab.small(
        "raising-often", "--max-env-faults", "5", task="benchmarks.faults.envs:raising", steps=4000
    )
    return started(run, pattern="workers failed")


@injection("a reward is NaN")
def _nan(lab: Lab) -> Outcome:
    return started(lab.small("nan", task="benchmarks.faults.envs:nan_reward", steps=10**6))


@injection("the newest checkpoint is cut in half")
def _truncated(lab: Lab) -> Outcome:
    run = lab.half("truncated")
    newest, _ = checkpoint.find(run.out / CHECKPOINTS)
    assert newest is not None
    file = newest / "learner.npz"
    os.truncate(file, file.stat().st_size // 2)
    return lab.compared(run, started(run, pattern="damaged"))


@injection("a checkpoint of another version")
def _version(lab: Lab) -> Outcome:
    run = lab.half("version")
    for path in (run.out / CHECKPOINTS).glob("[0-9]*"):
        meta = read_object(path / checkpoint.META) | {"format": 99}
        (path / checkpoint.META).write_text(json.dumps(meta), encoding="utf-8")
        names = sorted(file.name for file in path.iterdir() if file.name != checkpoint.SUMS)
        sums = subprocess.run(["sha256sum", *names], cwd=path, check=True, capture_output=True)
        (path / checkpoint.SUMS).write_bytes(sums.stdout)
    return started(run)


@injection("another configuration on the folder")
def _configuration(lab: Lab) -> Outcome:
    return started(lab.half("configuration"), "--cost_limit", "7")


@injection("a second process on the folder")
def _second(lab: Lab) -> Outcome:
    run = lab.small("second")
    process = run.start()
    until(process, run, lambda _, env_steps: env_steps > 1000)
    outcome = started(run)
    process.communicate()
    return lab.compared(run, outcome)


@injection("the owner of the folder was killed, same machine")
def _owner_dead(lab: Lab) -> Outcome:
    run = lab.half("owner-dead")
    return lab.compared(run, started(run, pattern="takes over"))


@injection("the owner of the folder was killed, on another machine")
def _owner_elsewhere(lab: Lab) -> Outcome:
    run = lab.half("owner-elsewhere")
    owner = read_object(run.out / OWNER_FILE) | {"boot": "another kernel", "host": "node7"}
    (run.out / OWNER_FILE).write_text(json.dumps(owner), encoding="utf-8")
    return lab.compared(run, started(run, pattern="takes over"))


@injection("the disk is full, then has room again")
def _disk(lab: Lab) -> Outcome:
    with small_disk(lab.out / "disk") as enlarge:
        run = lab.small("disk/run")
        outcome = started(run, pattern="no space|error")
        enlarge()
        return lab.compared(run, outcome)


def main(options: InjectOptions) -> int:
    """Print and write the table.

    Returns 1 if a run that continued ended differently from the undisturbed one.
    """
    check_folder(options.out)
    options.out.mkdir(parents=True, exist_ok=True)
    lab, outcomes = Lab(options.out), {}
    for name, inject in INJECTIONS.items():
        if not re.search(options.only, name):
            continue
        outcome = inject(lab)
        outcome = outcomes[name] = outcome._replace(
            said=outcome.said.replace(str(options.out), "DIR")
        )
        same = {None: "-", True: "identical", False: "DIFFERENT"}[outcome.as_undisturbed]
        print(
            f"{name:<64} exit {outcome.exit_status:>3} after {outcome.seconds:6.2f} s  "
            f"{same:<9}  {outcome.said}",
            flush=True,
        )
    report = [{"fault": name, **outcome._asdict()} for name, outcome in outcomes.items()]
    write_report(options.out / "injected.json", {"outcomes": report})
    return 1 if any(outcome.as_undisturbed is False for outcome in outcomes.values()) else 0
