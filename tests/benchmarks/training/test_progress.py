"""The live line of a run, and its estimate of the time left."""

from __future__ import annotations

import io
import re
import sys

import pytest

from benchmarks.training import progress
from benchmarks.training.loop import Options, train
from benchmarks.training.progress import Live, Reporter, Snapshot, Speed, describe, live_line
from tests.fakes.toys import ToyAgent, toy_env, toy_spec


def snapshot(**changes) -> Snapshot:
    given = Snapshot(
        1_250_000, 2_000_000, 3723.0, 100.0, (12.5, 3.25), (14.625, 0.0), {"model/loss": 3.0}
    )
    return given._replace(**changes)


@pytest.mark.parametrize("label", ["osrp", "a_method_of_a_very_long_name:METHOD"])
@pytest.mark.parametrize("width", [60, 80])
@pytest.mark.parametrize(
    "changes",
    [{}, {"wall_seconds": 360_000.0, "env_steps_per_second": 12_345.0}, {"evaluation": None}],
)
def test_the_live_line_fits(label: str, width: int, changes: dict):
    assert len(live_line(label, snapshot(**changes), width=width)) <= width
    assert len(live_line(label, snapshot(**changes), compiling=123.4, width=width)) <= width


def test_what_the_live_line_says():
    assert live_line("osrp", snapshot()) == (
        "osrp ━━━━━━━━╌╌╌╌  62% 100/s 1:02:03 elapsed 2:05:00 left eval 14.62 cost 0.0"
    )
    assert "compiling (12 s)" in live_line("osrp", snapshot(), compiling=12.3)
    assert "evaluating" in live_line("osrp", snapshot(state="evaluate"))


def test_losses_are_shown_on_demand():
    assert "model/loss" not in describe(snapshot())
    assert describe(snapshot(), losses=True).endswith(" | model/loss 3")


def test_speed_leaves_pauses_out():
    speed = Speed()
    speed(10.0, 0)
    speed.pause(30.0)  # compiling
    assert speed(60.0, 200) == 10.0  # 20 seconds of training
    speed.pause(100.0)
    assert speed(170.0, 300) == 10.0


def test_time_left_counts_evaluations_ahead():
    left = snapshot(pauses_seconds=60.0).eta_seconds
    assert left == 7500.0 + 60.0
    assert snapshot(pauses_seconds=60.0, max_seconds=3800.0).eta_seconds == 77.0
    assert snapshot(env_steps_per_second=0.0, pauses_seconds=60.0).eta_seconds is None


class Clock:
    """A clock that the toy agent's calls advance."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Kept(Reporter):
    """Keeps snapshots and counts compilations."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.compiled = 0

    def update(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def compiling(self) -> None:
        self.compiled += 1


def test_compiling_and_prefill_do_not_count_as_training(tmp_path, monkeypatch):
    """1 s per iteration and 1000 s for each first call, which the estimate must leave out."""
    clock = Clock()
    monkeypatch.setattr("benchmarks.training.base.time.perf_counter", clock)
    monkeypatch.setattr("benchmarks.training.base.REPORT_SECONDS", 0.5)

    class Slow(ToyAgent):
        called: set[str] = set()  # noqa: RUF012

        def act(self, state, carry, obs, is_first, key, mode):
            if mode == "train":
                clock.now += 1.0 if "act" in self.called else 1000.0
                self.called.add("act")
            return super().act(state, carry, obs, is_first, key, mode)

        def update(self, state, batch, key):
            clock.now += 0.0 if "update" in self.called else 1000.0
            self.called.add("update")
            return super().update(state, batch, key)

    kept = Kept()
    train(toy_spec(steps=600, eval_episodes=0), tmp_path, toy_env, Slow, Options(reporter=kept))
    assert kept.compiled == 2
    known = [s for s in kept.snapshots if s.state == "train" and s.env_steps_per_second > 0]
    assert len(known) > 50
    # 3 environments with 2 simulator steps per second each, fewer where an episode ends
    for shown in known:
        assert shown.env_steps_per_second == pytest.approx(6.0, rel=0.2)
        assert shown.eta_seconds == pytest.approx((600 - shown.env_steps) / 6.0, rel=0.25)


def test_a_terminal_says_what_compiles(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "80")
    live = progress.reporter("osrp")
    assert isinstance(live, Live)
    live.compiling()
    assert re.fullmatch(r"osrp compiling \(\d+ s\)", str(live._text()))
    live.update(snapshot())
    live.compiling()
    assert "compiling (" in str(live._text())
    live.evaluated(snapshot())
    live.close()
    assert "left" in str(live._text())
    assert "evaluation: return   14.62" in sys.stdout.getvalue()
