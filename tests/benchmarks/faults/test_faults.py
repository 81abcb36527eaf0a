"""The harness that kills real training processes: kills take effect, differences are found."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.faults import kills
from benchmarks.faults import report as report_page
from benchmarks.faults.inject import INJECTIONS
from benchmarks.faults.kills import KillOptions, kill_at, trainings
from benchmarks.faults.lab import Lab, Outcome
from benchmarks.faults.process import Training, without_clocks
from benchmarks.training.loop import train
from tests.fakes.toys import ToyAgent, toy_env, toy_spec


class Program(Training):
    """A program other than training."""

    def command(self, *more):
        return [sys.executable, "-c", *self.extra]


def program(text, tmp_path):
    return Program(tmp_path, "", "", "", "", 0, 0, tmp_path, (text,))


def test_a_kill_comes_after_its_seconds_and_not_after_the_end(tmp_path):
    killed = kill_at(program("import time; time.sleep(60)", tmp_path), -1, 0.2)
    assert killed is not None and 0.2 <= killed.seconds < 30.0 and killed.checkpoint == 0
    assert kill_at(program("", tmp_path), -1, 30.0) is None
    with pytest.raises(RuntimeError, match=r"failed by itself with status 3:\nmy last words"):
        kill_at(program("print('my last words'); raise SystemExit(3)", tmp_path), -1, 30.0)


def test_only_columns_of_time_are_left_out(tmp_path):
    train(toy_spec(steps=120), tmp_path, toy_env, ToyAgent)
    before = without_clocks(tmp_path)
    file = tmp_path / "metrics.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for change, same in (
        ({"time/env": 9.0, "wall_seconds": 9.0, "env_steps_per_second": 9.0}, True),
        ({"act/age": 9.0}, False),
    ):
        file.write_text("".join(json.dumps(row | change) + "\n" for row in rows))
        assert (without_clocks(tmp_path) == before) == same


@pytest.mark.slow
def test_a_killed_run_of_the_simulator_ends_like_an_unbroken_one(tmp_path):
    # nothing here depends on the agent, and SAC compiles in seconds
    options = KillOptions(tmp_path, method="sac", steps=2400, kills=2, mapped=True)
    loop = {"action-repeat": 5, "checkpoint-every": 20, "eval-every": 240}
    extra = [part for name, value in loop.items() for part in (f"--loop.{name}", str(value))]
    # 480 rows: the buffer wraps
    assert kills.main(options, [*extra, "--replay.capacity", "300"]) == 0
    report = json.loads((tmp_path / "kills-sac-coordinates.json").read_text())
    assert report["equal"] == {"episodes.csv": True, "metrics.jsonl": True} and report["kills"]
    assert any(kill["checkpoint"] for kill in report["kills"])
    unbroken, killed = trainings(options, [])
    assert unbroken._replace(out=killed.out, extra=killed.extra) == killed
    assert report_page.main(report_page.ReportOptions(tmp_path)) == 0
    page = (tmp_path / "README.md").read_text()
    assert (
        "`episodes.csv` identical, `metrics.jsonl` identical" in page and str(tmp_path) not in page
    )
    states = ("starting", "train", "evaluate", "save")
    assert sum(page.count(f"| {state} |") for state in states) == len(report["kills"])


@pytest.mark.slow
def test_a_nan_reward_ends_the_run_with_its_place(tmp_path):
    outcome = INJECTIONS["a reward is NaN"](Lab(tmp_path))
    assert outcome.exit_status == 2
    assert "step 25: the reward" in outcome.said and "finite" in outcome.said


def test_injected_faults_are_listed(tmp_path):
    outcome = Outcome(2, 1.5, "error: DIR/run has no | room", False)
    (tmp_path / "injected.json").write_text(
        json.dumps({"outcomes": [{"fault": "a fault", **outcome._asdict()}]})
    )
    assert report_page.main(report_page.ReportOptions(tmp_path)) == 0
    assert (
        "| a fault | 2 | 1.5 s | DIFFERENT | error: DIR/run has no / room |"
        in (tmp_path / "README.md").read_text()
    )
