"""Updates before the policy acts.

Made on the prefill and counted; a run resumed in their midst equals an unbroken one.
"""

from __future__ import annotations

from benchmarks.faults.process import without_clocks
from benchmarks.training.loop import PRETRAIN_SLICE, Options, Result, train
from tests.fakes.toys import StopAfter, ToyAgent, metric_rows, toy_env, toy_spec

UPDATES = 2 * PRETRAIN_SLICE + 6
PREFILL_ITERATIONS = 13  # 12 of three agent steps, and one of resets


class Pretrained(ToyAgent):
    pretrain_updates = UPDATES


def run(out, **options) -> Result:
    return train(toy_spec(), out, toy_env, Pretrained, Options(**options))


def test_pretraining_comes_between_prefill_and_acting(tmp_path):
    spec = toy_spec()
    stopped = run(tmp_path / "run", stop=StopAfter(PREFILL_ITERATIONS + 3))
    assert (stopped.updates, stopped.env_steps) == (UPDATES, 2 * spec.loop.prefill)
    assert run(tmp_path / "run").finished
    rows = metric_rows(tmp_path / "run")
    late = [r for r in rows if r["agent_steps"] > 100]
    assert late != []
    # drawn in one iteration, used in the next: up to two iterations of three steps behind
    for r in late:
        ratio = r["updates"] - UPDATES
        assert (
            spec.loop.updates_due(r["agent_steps"] - 6) - 1
            <= ratio
            <= spec.loop.updates_due(r["agent_steps"])
        )


def test_a_run_stopped_in_pretraining_ends_as_if_it_had_not_been(tmp_path):
    assert run(tmp_path / "unbroken").finished
    stopped = run(tmp_path / "run", stop=StopAfter(PREFILL_ITERATIONS + 1))
    assert stopped.updates == PRETRAIN_SLICE
    assert run(tmp_path / "run").finished
    assert without_clocks(tmp_path / "run") == without_clocks(tmp_path / "unbroken")
