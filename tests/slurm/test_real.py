"""Sweeps on a real Slurm, with everything that can end runs early.

Each run finishes exactly once, with the records of an undisturbed run.

These tests spend most of their time waiting, so the two slowest sweeps are started first, run in
the background and are checked last.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.cli import app
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs import attempts
from benchmarks.sweep.members import look_for
from slurm.minicluster import packages
from slurm.minicluster.cluster import MiniCluster
from slurm.minicluster.processes import wait_until
from tests.slurm_sweeps import PATIENCE_S, SUITE, Sweep, supervisor, without_warnings

pytestmark = [pytest.mark.slurm, pytest.mark.slow]

ON_SLURM = ("--cluster", "slurm", "--slurm", "poll_seconds=1")
QUICK_RETRIES = ("--retries.limit", "2", "--retries.delay-seconds", "1")
SLOW_S = 0.3  # per simulator step: more than a minute per run
KILLS_ITS_SUBMITTER = """\
#!/bin/bash
[[ "$*" == *--test-only* || ! -e {mark} ]] || {{ kill -KILL $PPID; exit 1; }}
[[ "$*" == *--test-only* ]] || touch {mark}
exec {real} "$@"
"""
NewSweep = Callable[..., Sweep]


def only(*seeds: int) -> tuple[str, ...]:
    assert max(seeds) < 10, "the pattern lists single digits"
    return ("--only", f"seed=[{''.join(map(str, seeds))}]")


@pytest.fixture(scope="module")
def new_sweep(cluster: MiniCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewSweep]:
    """Creates sweeps, and stops what is left of them afterwards."""
    made: list[Sweep] = []

    def make(name: str, *arguments: str, **options: object) -> Sweep:
        made.append(Sweep(cluster, tmp_path_factory.mktemp(name) / name, *arguments, **options))
        return made[-1]

    yield make
    for sweep in made:
        sweep.close()
    cluster.up()
    assert wait_until(cluster.is_up, PATIENCE_S)


@pytest.fixture(scope="module", autouse=True)
def local(new_sweep: NewSweep) -> Sweep:
    """The same sweep without Slurm, as a reference."""
    sweep = new_sweep("local", "--cluster", "debug")
    sweep.start()
    return sweep


@pytest.fixture(scope="module")
def reference(local: Sweep) -> Path:
    """Folder with the runs of the local sweep."""
    local.finish(local.commands[0])
    return local.out / "runs"


@pytest.fixture(scope="module", autouse=True)
def timed(new_sweep: NewSweep) -> Sweep:
    """A sweep whose run outlasts Slurm's warning before the time limit of two minutes."""
    sweep = new_sweep(
        "timed", *only(0), *ON_SLURM, "time=2", "signal_seconds=30", "nodelist=n1", pace_s=0.8
    )
    sweep.start()
    return sweep


@pytest.fixture(scope="module", autouse=True)
def bereft(new_sweep: NewSweep, cluster: MiniCluster, timed: Sweep) -> Sweep:
    """A sweep whose run loses its node half-way.

    The node is restarted once Slurm has started the job on another one.
    """
    sweep = new_sweep("bereft", *only(1), *QUICK_RETRIES, *ON_SLURM, "exclude=n1", pace_s=SLOW_S)
    sweep.start()
    sweep.wait(lambda: sweep.trains(1))
    (job,) = sweep.queue()
    node = sweep.run(1).events[-1].where.split()[-1]
    other = {"n2": "n3", "n3": "n2"}[node]
    cluster.kill_node(node)
    sweep.wait(
        lambda: any(
            (each.job_id, each.state, each.nodes) == (job, "RUNNING", other)
            for each in cluster.squeue()
        )
    )
    cluster.start_node(node)
    sweep.wait(cluster.is_up)
    return sweep


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["partition=mian"], "unknown partition 'mian'; did you mean main?"),
        (["partition=short", "time=5"], "time=5 is longer than partition short allows (1:00)"),
        (["account=nobody", "gres=gpu:1"], "Slurm refuses such a job (sbatch: "),
        (["cpus=64"], "Slurm refuses such a job (sbatch: "),
        (["memory_gb=500"], "Slurm refuses such a job (sbatch: "),
        (["time=1", "signal_seconds=60"], "time=1 must be longer than signal_seconds=60"),
    ],
)
def test_what_slurm_would_refuse_is_said_before_anything_is_made(
    cluster, tmp_path, monkeypatch, capsys, options, words
):
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    (tmp_path / "mine.yaml").write_text(SUITE)
    arguments = [
        "sweep",
        "--suite",
        str(tmp_path / "mine.yaml"),
        "--out",
        str(tmp_path / "out"),
        *ON_SLURM,
        *options,
    ]
    assert app.main(arguments) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1 and not (tmp_path / "out").exists()


def test_without_slurm_the_error_says_where_to_go(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "mine.yaml").write_text(SUITE)
    assert (
        app.main(
            [
                "sweep",
                "--suite",
                str(tmp_path / "mine.yaml"),
                "--out",
                str(tmp_path / "out"),
                *ON_SLURM,
            ]
        )
        == 2
    )
    assert (
        "no sbatch, squeue, scancel" in (error := capsys.readouterr().err)
        and "--cluster local" in error
    )
    assert not (tmp_path / "out").exists()


def test_a_sweep_is_one_array_also_when_two_submit_it(new_sweep, reference):
    sweep = new_sweep("array", *only(7, 8, 9), *ON_SLURM, "time=0:30:00")
    commands = [sweep.start(), sweep.start()]
    said = [sweep.finish(command) for command in commands]
    assert len({job.split("_")[0] for job in sweep.queue()}) == 1 and len(sweep.queue()) == 3
    assert sorted("submitted 3 runs as job" in text for text in said) == [False, True]
    assert set(sweep.queue().values()) == {"COMPLETED"}
    sweep.is_done_as(reference, {7, 8, 9})
    assert [sum(event.event == "started" for event in run.events) for run in sweep.members()] == [
        1
    ] * 3
    before = [run.events for run in sweep.members()]
    assert "3 runs (3 done)" in sweep.finish(sweep.start())
    assert [run.events for run in sweep.members()] == before and len(sweep.queue()) == 3


def test_a_preempted_run_saves_and_continues_whether_it_is_warned_or_only_terminated(
    new_sweep, cluster, reference
):
    sweep = new_sweep("preempted", *only(2), *ON_SLURM, "nodelist=n2", pace_s=SLOW_S)
    command = sweep.start()

    def preempt(start: int) -> None:
        sweep.wait(lambda: sweep.trains(2, start, env_steps=8 * start))
        reached = sweep.run(2).env_steps
        cluster.command(
            "sbatch", "-p", "high", "-w", "n2", "--exclusive", "-o", "/dev/null", "--wrap", "true"
        )
        sweep.wait(lambda: sum(event.event == "ended" for event in sweep.run(2).events) == start)
        assert sweep.run(2).env_steps >= reached

    preempt(1)
    with without_warnings(cluster):
        preempt(2)
    sweep.pace(0.0)
    sweep.finish(command)
    sweep.is_done_as(reference, {2})
    ends = [(event.exit, event.reason) for event in sweep.run(2).events if event.event == "ended"]
    assert ends == [
        (EXIT_STOPPED, "requeued: time limit or preemption"),
        (EXIT_STOPPED, "stopped by SIGTERM"),
        (0, ""),
    ]
    # the same job, three times
    assert len({event.where for event in sweep.run(2).events if event.event == "started"}) == 1


def test_killed_and_cancelled_runs_and_a_killed_submitter(new_sweep, reference):
    """Seed 3 loses its training process, seed 4 its whole job.

    Seeds 5 and 6 are cancelled while they run, seed 7 while it is queued.
    """
    sweep = new_sweep(
        "killed", *only(3, 4, 5, 6, 7), "--jobs", "4", *QUICK_RETRIES, *ON_SLURM, pace_s=SLOW_S
    )
    first = sweep.start()
    sweep.wait(lambda: "submitted 5 runs" in sweep.said(first))
    first.kill()
    command = sweep.start()
    sweep.wait(lambda: all(sweep.trains(seed) for seed in (3, 4, 5, 6)))
    node = next(e for e in sweep.run(4).events if e.event == "started").where.split()[-1]
    assert app.main(["cancel", str(sweep.out), "seed=7"]) == 0
    assert app.main(["cancel", str(sweep.out), "seed=5"]) == 0
    attempts.add(sweep.run(6).folder, "cancelled", reason="from another machine")
    os.kill(sweep.run(3).status.pid, signal.SIGKILL)
    for process in (supervisor(sweep.run(4)), psutil.Process(sweep.run(4).status.pid)):
        process.kill()
    sweep.wait(lambda: all(sweep.trains(seed, starts=2) for seed in (3, 4)))
    sweep.pace(0.0)
    said = sweep.finish(command)
    # Only the killed job is resubmitted.
    assert said.count("submitted") == 1 and "submitted 1 runs" in said, said + sweep.story()
    reasons = {
        seed: [event.reason for event in sweep.run(seed).events if event.failed] for seed in (3, 4)
    }
    assert reasons == {3: ["killed by SIGKILL (out of memory?)"], 4: [f"Slurm: FAILED on {node}"]}
    assert [sweep.run(seed).state for seed in (5, 6, 7)] == ["cancelled"] * 3
    assert [sweep.run(seed).status.state for seed in (5, 6)] == ["stopped"] * 2 and sweep.run(
        7
    ).status is None
    assert app.main(["retry", str(sweep.out), "seed=[567]"]) == 0
    sweep.finish(sweep.start())
    sweep.is_done_as(reference, {3, 4, 5, 6, 7})
    assert sum("slurm" in event.where for event in sweep.run(7).events) == 1


def test_a_canary_goes_first_and_a_submitter_killed_between_two_arrays_doubles_nothing(
    new_sweep, reference, tmp_path
):
    """The submitter is killed at its second sbatch, so that only the canary is queued."""
    (tmp_path / "sbatch").write_text(
        KILLS_ITS_SUBMITTER.format(real=packages.find("sbatch"), mark=tmp_path / "mark")
    )
    (tmp_path / "sbatch").chmod(stat.S_IRWXU)
    sweep = new_sweep("canary", *only(8, 9), "--canary", *ON_SLURM)
    first = sweep.start(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert first.wait(PATIENCE_S) == -signal.SIGKILL and len(sweep.queue()) == 1, sweep.said(first)
    sweep.finish(sweep.start())
    assert sorted(sweep.queue().values()) == ["COMPLETED"] * 3
    sweep.is_done_as(reference, {8, 9})
    (canary,) = look_for(sweep.out / "canary").members
    assert canary.state == "done" and sum(event.event == "started" for event in canary.events) == 1
    assert canary.events[-1].time <= min(
        e.time for run in sweep.members() for e in run.events if e.event == "started"
    )


def test_a_canary_that_always_fails_is_reported_and_nothing_comes_after_it(new_sweep):
    broken = SUITE.replace("tests.fakes.toys:slow_shore", "tests.fakes.toy_envs:failing")
    sweep = new_sweep("broken", *only(0, 1), "--canary", *QUICK_RETRIES, *ON_SLURM, suite=broken)
    said = sweep.finish(sweep.start(), status=1)
    assert (
        "failed for good after 3 starts" in said
        and said.count("    ArithmeticError: the wheel came off") == 1
    )
    assert sorted(sweep.queue().values()) == ["CANCELLED", "CANCELLED", "FAILED"]
    assert [run.state for run in sweep.members()] == ["waiting"] * 2
    assert [[event.event for event in run.events] for run in sweep.members()] == [["submitted"]] * 2


def test_a_set_up_line_that_fails_is_named(new_sweep):
    set_up = ("setup=[module load nothing]", "nodelist=n1")
    sweep = new_sweep("set-up", *only(9), "--retries.limit", "0", *ON_SLURM, *set_up)
    said = sweep.finish(sweep.start(), status=1)
    assert (
        "failed for good after 1 starts (Slurm: FAILED on n1: " in said
        and "set-up failed: module load nothing" in said
    )
    assert sweep.run(9).status is None


def test_a_run_whose_node_died_continues_on_another(bereft, reference):
    bereft.pace(0.0)
    bereft.finish(bereft.commands[0])
    bereft.is_done_as(reference, {1})
    started = [event.where for event in bereft.run(1).events if event.event == "started"]
    assert len(started) == 2 and len(bereft.queue()) == 1  # requeued by Slurm, no second job
    assert started[0].split()[:2] == started[1].split()[:2] and started[0] != started[1]
    assert sum(event.failed for event in bereft.run(1).events) == 1


def test_a_run_longer_than_the_time_limit_is_requeued_and_continues(timed, reference):
    timed.wait(lambda: any(event.event == "ended" for event in timed.run(0).events))
    timed.pace(0.0)
    timed.finish(timed.commands[0])
    timed.is_done_as(reference, {0})
    ends = [(event.exit, event.reason) for event in timed.run(0).events if event.event == "ended"]
    assert len(ends) >= 2 and set(ends[:-1]) == {
        (EXIT_STOPPED, "requeued: time limit or preemption")
    }
    assert len(timed.queue()) == 1
