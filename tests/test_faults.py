"""The harness that kills a real training process: a kill is a kill, and a difference is found."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.faults import kill_after, without_clocks
from benchmarks.loop import train
from tests.toys import ToyAgent, toy_env, toy_spec

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_a_kill_comes_after_its_seconds_and_not_after_the_end():
    assert kill_after(SLEEP, 0.2, lambda: True)
    assert not kill_after([sys.executable, "-c", ""], 30.0, lambda: False)
    with pytest.raises(RuntimeError, match="failed by itself with status 3"):
        kill_after([sys.executable, "-c", "raise SystemExit(3)"], 30.0, lambda: False)


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
