"""Estimates of GPU-hours: the counted work is that of the current presets, times are those
measured, and a run's hours are computed by hand.
"""

from __future__ import annotations

import dataclasses
import functools
import json

import pytest

from benchmarks.methods import settings
from benchmarks.perf import work
from benchmarks.suites.reading import load
from benchmarks.suites.suite import expand
from benchmarks.sweep import gpu_hours
from benchmarks.sweep.gpu_hours import CARDS, Work
from tests import specs
from tests.tree import ROOT

RECOUNT = "the sizes have changed: python -m benchmarks.perf.work"


spec_of = functools.partial(specs.spec_of, obs="vision", preset="release")


def work_of(method: str, obs: str) -> gpu_hours.Counted:
    spec = spec_of(method, obs=obs)
    return gpu_hours.counted()[(method, obs, gpu_hours.operations(spec.agent, spec.loop))]


def test_the_counted_work_is_that_of_todays_presets():
    rows = json.loads(gpu_hours.FILE.read_text())
    assert [(row["method"], row["obs"], row["preset"]) for row in rows] == work.kinds()
    for row in rows:
        chosen = settings(row["method"], row["obs"], row["preset"])
        assert row["operations"] == gpu_hours.operations(chosen.agent, chosen.loop), RECOUNT


def test_an_action_counts_as_written_down():
    kind = work.Kind("bsrp_lag", "coordinates", "release")
    assert work.count_act(kind) == work_of("bsrp_lag", "coordinates").act, RECOUNT


@pytest.mark.slow
@pytest.mark.parametrize("method", ["osrp_lag", "lambda", "safe_slac"])
def test_actions_and_updates_count_as_written_down(method):
    kind = work.Kind(method, "vision", "release")
    found = work_of(method, "vision")
    assert work.count_act(kind) == found.act, RECOUNT
    assert work.count_update(kind) == found.update, RECOUNT


def test_times_are_those_measured_on_the_h200():
    jobs = json.loads((ROOT / "results" / "gpu" / "timings.json").read_text())["jobs"]
    measured = [job for job in jobs.values() if job["kind"] == "act" and job["state"] == "done"]
    assert len(measured) == 5
    for job in measured:
        args, found = job["args"], work_of(job["args"]["method"], "vision")
        dtype = "bfloat16" if args["numbers"] == "bfloat16" else "float32"
        expected = found.act.seconds(CARDS["H200"], dtype, args["envs"]) + gpu_hours.CALL_SECONDS
        assert expected == pytest.approx(job["median"], rel=0.08), args


@pytest.mark.parametrize(
    ("flops", "nbytes", "copies", "expected"),
    [
        (0.39 * 364e12, 0.0, 1, 0.014 + 1.0),  # arithmetic
        (0.39 * 364e12, 0.0, 3, 0.014 + 3.0),  # three environments, one launch each
        (0.0, 2 * 3.35e12, 1, 0.014 + 2.0),  # memory
        (0.39 * 364e12, 2 * 3.35e12, 1, 0.014 + 2.0),  # the slower of both
    ],
)
def test_seconds_of_a_call_by_hand(flops, nbytes, copies, expected):
    found = Work(flops, 1000, nbytes).seconds(CARDS["H100"], "float32", copies)
    assert found == pytest.approx(expected)


def test_hours_of_a_run_by_hand(monkeypatch):
    act, update = Work(0.0, 0, 0.0), Work(0.0, 1000, 0.0)  # an update takes 14 ms
    spec = spec_of("bsrp_lag")
    loop = dataclasses.replace(
        spec.loop, prefill=1000, train_ratio=1024.0, batch_size=16, eval_every=100_000
    )
    spec = dataclasses.replace(spec, loop=loop, steps=800_000)
    key = ("bsrp_lag", "vision", gpu_hours.operations(spec.agent, loop))
    monkeypatch.setattr(gpu_hours, "counted", lambda: {key: gpu_hours.Counted(act, update)})
    assert (loop.action_repeat, loop.num_envs, loop.eval_episodes) == (4, 1, 1)
    one = 1.3e-3 + 1 / 539  # an action and a simulator step
    # 200,000 agent steps; an update for each beyond the prefill; two evaluations of 250 agent steps
    seconds = 120 + 200_000 * one + 199_000 * 0.014 + 2 * (9 + 250 * one)
    assert gpu_hours.hours(spec) == pytest.approx(seconds / 3600)
    # 100,000 agent steps and the second evaluation are left
    half = 120 + 100_000 * one + 100_000 * 0.014 + 9 + 250 * one
    assert gpu_hours.hours(spec, 400_000) == pytest.approx(half / 3600)


def test_only_work_that_was_counted_is_estimated():
    spec = spec_of("osrp_lag")
    hours = gpu_hours.hours(spec)
    assert hours is not None
    limit = dataclasses.replace(spec.agent, cost_limit=25.0)
    assert gpu_hours.hours(dataclasses.replace(spec, agent=limit)) == hours
    planner = dataclasses.replace(spec.agent.planner, candidates=1500)
    larger = dataclasses.replace(spec.agent, planner=planner)
    assert gpu_hours.hours(dataclasses.replace(spec, agent=larger)) is None
    batch = dataclasses.replace(spec.loop, batch_size=32)
    assert gpu_hours.hours(dataclasses.replace(spec, loop=batch)) is None
    assert gpu_hours.hours(spec_of("osrp_lag", preset="debug")) is None


def test_every_run_of_the_papers_suite_has_an_estimate():
    entries = expand(load("paper20"), lambda m, task, obs, preset: settings(m, obs, preset))
    assert all(gpu_hours.hours(entry.spec) is not None for entry in entries)
