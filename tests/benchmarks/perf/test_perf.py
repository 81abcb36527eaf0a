"""FLOP counting by hand, and the benchmark's cases; nothing here is timed."""

import json
import os
import sys

import jax
import jax.numpy as jnp
import pytest

from agents.safedreamer.planner_config import PlannerConfig
from benchmarks.cli.common import program
from benchmarks.perf import __main__ as perf
from benchmarks.perf import checkpoints, loop, planning, sweeps
from benchmarks.perf.cases import SUITES, PerfOptions
from benchmarks.perf.checkpoints import CheckpointOptions
from benchmarks.perf.children import measure_case
from benchmarks.perf.flops import jaxpr_products, matmul_flops
from benchmarks.perf.planning import PlanningOptions
from benchmarks.perf.sweeps import SweepOptions
from benchmarks.runs.errors import BadInput, RunFailed


def test_matmul_flops_by_hand():
    # [3, 4] @ [4, 5]: 3 * 5 outputs of 4 multiply-adds
    assert matmul_flops(lambda a, b: a @ b, jnp.ones((3, 4)), jnp.ones((4, 5))) == 2 * 3 * 4 * 5


def test_of_a_conditionals_branches_the_cheapest_counts():
    def rarely(due: jax.Array, a: jax.Array) -> jax.Array:
        return jax.lax.cond(due, lambda x: x @ x @ x, lambda x: x, a) @ a

    assert matmul_flops(rarely, jnp.array(True), jnp.ones((4, 4))) == 2 * 4**3


def test_loops_count_as_often_as_they_run():
    def looped(a):
        return jax.lax.scan(lambda carry, _: (carry @ a, None), a, None, length=7)[0]

    assert matmul_flops(jax.jit(looped), jnp.ones((4, 4))) == 7 * 2 * 4**3


def test_products_are_counted_with_their_bytes_by_hand():
    def looped(a, b):
        return jax.lax.scan(lambda carry, _: (carry @ a, None), a @ b, None, length=3)[0]

    a, b = jnp.ones((4, 4)), jnp.ones((4, 4), jnp.bfloat16)
    found = jaxpr_products(jax.make_jaxpr(jax.jit(looped))(a, b.astype(jnp.float32)).jaxpr)
    # four products of three float32 matrices each
    assert found == (4 * 2 * 4**3, 4, 4 * 3 * 4 * 4 * 4)
    halves = jaxpr_products(jax.make_jaxpr(lambda x: x @ x)(b).jaxpr)
    assert halves == (2 * 4**3, 1, 3 * 4 * 4 * 2)


def test_convolution_by_hand():
    def conv(x, kernel):
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    # 4 x 4 outputs of 6 channels, each 4 * 4 taps over 3 channels
    assert (
        matmul_flops(conv, jnp.ones((1, 8, 8, 3)), jnp.ones((4, 4, 3, 6)))
        == 2 * 4 * 4 * 6 * 4 * 4 * 3
    )


def test_transposed_convolution_counts_no_dilation_zeros():
    def conv(x, kernel):
        return jax.lax.conv_transpose(
            x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWOI", "NHWC")
        )

    # 8 x 8 outputs of 6 channels, each seeing 2 x 2 of the 4 x 4 taps over 3 channels
    assert (
        matmul_flops(conv, jnp.ones((1, 4, 4, 3)), jnp.ones((4, 4, 6, 3)))
        == 2 * 8 * 8 * 6 * 2 * 2 * 3
    )


@pytest.mark.parametrize("suite", SUITES)
def test_cases_name_valid_settings(suite):
    cases = SUITES[suite]()
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        assert getattr(case.config(), "dtype", "float32") == case.dtype


def test_ratios_are_of_time_times_peak_and_of_a_run_beside(tmp_path, monkeypatch, capsys):
    """The release: 175 GFLOP at 46 % of the peak. Ours: 100 GFLOP at 50 %, so 200 against 380."""
    ours = {"median": 2.0, "low": 1.5, "high": 3.0, "gflop": 100.0, "peak_gflops": 100.0}
    row = ours | {"name": "plan, vector preset", "share_of_peak": 0.5}
    asked = []

    def measured(suite, name, repeats, checkout=None):
        asked.append((suite, name, repeats, checkout))
        return row | ({"median": 4.0} if checkout else {}) | {"peak_bytes": 3_000_000_000}

    monkeypatch.setattr(perf, "measure_case", measured)
    other = tmp_path / "other"
    (other / "benchmarks" / "perf").mkdir(parents=True)
    (other / "benchmarks" / "perf" / "__main__.py").touch()
    options = PerfOptions(only="plan, vector", repeats=2, out=tmp_path / "out", against=other)
    assert perf.main(options) == 0
    report = json.loads((tmp_path / "out" / "release.json").read_text())
    (found,) = report["rows"]
    assert report["against"] == {"commit": None, "dirty": None}  # no git checkout
    assert found["ratio_to_release"] == pytest.approx(200 / (175 / 0.46))
    assert (found["ratio_to_against"], found["peak_bytes"]) == (0.5, 3_000_000_000)
    case = ("release", "plan, vector preset", 2)
    assert asked == [(*case, None), (*case, other)]
    assert "0.53x" in capsys.readouterr().out


def test_the_round_with_the_median_ratio_counts(tmp_path, monkeypatch):
    sides = [2.0, 1.0, 3.0, 6.0, 1.2, 1.0]  # ours and theirs in turn: ratios 2, 0.5, 1.2
    row = {"name": "", "low": 1, "high": 1, "gflop": 1, "peak_gflops": 1, "share_of_peak": 1}
    monkeypatch.setattr(
        perf, "measure_case", lambda *_: row | {"median": sides.pop(0), "peak_bytes": 1}
    )
    case = SUITES["cpu"]()[0]
    found = perf.report_case(case, PerfOptions("cpu", against=tmp_path, rounds=3))
    assert (found["median"], found["ratio_to_against"]) == (1.2, 1.2)
    assert found["rounds"][1] == {"seconds": 3.0, "against": 6.0} and not sides


@pytest.mark.parametrize("option", ["--repeats", "--rounds"])
def test_nothing_is_timed_no_times(option: str, capsys):
    assert program(PerfOptions, perf.main, "perf", args=[option, "0"]) == 2
    assert f"{option[2:]}=0 must be at least 1" in capsys.readouterr().err


def test_a_folder_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(BadInput, match="is not a checkout of this suite: git worktree add"):
        perf.main(PerfOptions(against=tmp_path))


@pytest.mark.slow
def test_a_case_runs_in_a_process_of_its_own():
    large = bytearray(b"1") * 3_000_000_000  # memory of the caller does not count
    del large
    found = measure_case("cpu", "plan, bsrp_lag, cpu", 1)
    assert found["gflop"] > 0 and 1e8 < found["peak_bytes"] < 3e9


def test_a_baselines_timed_update_is_a_whole_one():
    for case in SUITES["baselines"]():
        assert getattr(case.config(), "pretrain_updates", 0) == 0, case.name


@pytest.mark.parametrize(
    "module, options, result",
    [
        (checkpoints, CheckpointOptions, {}),
        (planning, lambda **given: PlanningOptions("run", **given), []),
        (sweeps, SweepOptions, {}),
    ],
)
def test_a_report_has_the_whole_command_that_made_it(
    module, options, result, tmp_path, monkeypatch
):
    words = ["-m", module.__name__, "--capacity", "1200", "--out", "a folder"]
    monkeypatch.setattr(sys, "orig_argv", ["/somewhere/bin/python3", *words])
    monkeypatch.setattr(module, "measure", lambda *_: result)
    assert module.main(options(out=tmp_path)) == 0
    (file,) = tmp_path.glob("*.json")
    command = f"python -m {module.__name__} --capacity 1200 --out 'a folder'"
    assert json.loads(file.read_text())["command"] == command


def test_a_timed_command_that_fails_is_told_in_one_line():
    with pytest.raises(RunFailed, match=r"safedreamer status '/no folder' failed: .*no folder"):
        sweeps.timed(["status", "/no folder"], 1, os.environ)


@pytest.mark.slow
def test_a_checkpoint_writes_only_new_rows(tmp_path):
    out = tmp_path / "results"
    options = CheckpointOptions("bsrp_lag", "vision", "debug", 1200, 1, tmp_path, out)
    assert checkpoints.main(options) == 0
    result = json.loads((out / "checkpoints.json").read_text())
    row = 2 * 64 * 64 * 3
    assert (
        result["first_replay_bytes"] >= 1200 * row > 800 * row > result["replay_bytes"] >= 400 * row
    )
    assert result["new_rows_per_checkpoint"] == 400 and result["learner_bytes"] > 0
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


def test_searches_of_the_planner_have_equal_budgets():
    base = PlannerConfig(actor_fraction=1.0, kept_elites=2, noise_exponent=2, candidate_decay=1.25)
    plain = planning.with_search(base, planning.SEARCHES["gaussian"], 60, 3, 5)
    assert (plain.kept_elites, plain.noise_exponent) == (0, 0.0)  # whatever the run's preset
    assert (plain.proposals, plain.candidates, plain.elites) == (0, 60, 6)
    assert planning.model_steps(plain) == 60 * 3 * 5
    with_actor = planning.with_search(base, planning.SEARCHES["actor"], 60, 3, 5)
    assert (with_actor.proposals, with_actor.candidates) == (12, 48)
    assert planning.model_steps(with_actor) == planning.model_steps(plain)
    icem = planning.with_search(base, planning.SEARCHES["icem"], 60, 3, 5)
    assert icem.kept_elites == 3
    assert planning.model_steps(icem) == (60 + 48 + 38) * 5


def test_a_plans_value_is_a_share_of_what_the_reference_gains():
    def row(candidates: int, value: float) -> dict:
        budget = {"search": "gaussian", "candidates": candidates, "iterations": 6}
        return {**budget, "value": value, "value of doing nothing": 1.0}

    shares = planning.with_shares([row(500, 5.0), row(125, 4.0), row(64, 1.0)])
    assert [r["share of gain"] for r in shares] == [1.0, 0.75, 0.0]
    alone = planning.with_shares([row(64, 1.0)])
    assert "share of gain" not in alone[0]


def test_throughput_counts_from_the_second_row_with_updates_on():
    def row(env_steps: int, updates: int, total: float, learner: float) -> dict:
        times = {"time/total": total, "time/learner": learner, "time/act": total - learner}
        return {"env_steps": env_steps, "updates": updates, **times}

    rows = [row(500, 0, 1.0, 0.0), row(1000, 5, 60.0, 59.0), row(1500, 10, 2.0, 1.0)]
    rows.append(row(2500, 20, 2.0, 2.0))
    found = loop.throughput(rows)
    assert found["env_steps_per_second"] == 1500 / 4
    assert found["updates_per_second"] == 15 / 4
    assert (found["learner_share"], found["act_share"], found["env_share"]) == (0.75, 0.25, 0.0)
    with pytest.raises(RunFailed, match="give more --steps"):
        loop.throughput(rows[:2])
