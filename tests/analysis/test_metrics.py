"""Metrics of hand-made runs, with the values worked out by hand, and tables made of them."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from analysis.read.foreign import table
from analysis.read.load import load
from analysis.results.assemble import merge
from analysis.results.frames import Part
from analysis.results.judge import gaps, set_cost_limit
from analysis.results.labels import method_label, split_label
from analysis.statistics import metrics, published, references
from analysis.tables import comparison
from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.records import COLUMNS, EVAL
from tests.analysis_runs import TASK, run_row, write_run, write_sweep

# published values for TASK
PPO = {"return": 24.93787183333333, "cost": 57.2888895, "cost_rate": 0.0616933794738513}


def score(folder, **options):
    (row,) = metrics.scores(load([folder]), **options).to_dict("records")
    return row


@pytest.fixture
def run(tmp_path):
    """Four training episodes and three evaluations of two episodes; limit 2."""
    train = [(1000, 0.0, 30.0), (2000, 2.0, 10.0), (3000, 5.0, 2.0), (4000, 8.0, 0.0)]
    evals = [
        (1000, 2.0, 4.0),
        (1000, 4.0, 2.0),
        (3000, 12.0, 8.0),
        (3000, 14.0, 8.0),
        (4000, 15.0, 1.0),
        (4000, 17.0, 2.0),
    ]
    return write_run(tmp_path / "osrp-0", "osrp", train=train, evals=evals)


def test_every_metric_by_hand(run):
    row = score(run, k=2)
    assert (
        row["return"],
        row["cost"],
        row["cost_over_limit"],
        row["feasible"],
        row["feasible_episodes"],
    ) == (
        16.0,
        1.5,
        0.75,
        1,
        1,
    )
    assert (row["total_cost"], row["cost_regret"], row["violation_rate"]) == (42.0, 28.0 + 8.0, 0.5)
    assert row["cost_rate"] == 42.0 / 4000.0
    assert row["cvar_cost"] == 30.0  # 5 % of four episodes is less than one: the worst one
    # (3 + 13) / 2 over 2000 steps, (13 + 16) / 2 over 1000
    assert row["auc_return"] == pytest.approx((8.0 * 2000 + 14.5 * 1000) / 3000)
    # 12.5 is half of PPO's return; at 3000 the cost is above the limit
    assert row["steps_to_return"] == 4000
    assert row["wall_hours"] == 400.0 / 3600.0 and np.isnan(row["gpu_hours"])
    assert row["normalised_return"] == pytest.approx(16.0 / PPO["return"])
    assert (
        row["normalised_cost"] == pytest.approx(1.5 / PPO["cost"])
        and row["normalised_violation"] == 0.0
    )
    assert row["normalised_cost_rate"] == pytest.approx(0.0105 / PPO["cost_rate"])
    assert row["judged_on"] == "evaluations"


def test_violation_is_what_exceeds_the_limit_by_ppos_excess(run):
    row = metrics.scores(set_cost_limit(load([run]), 1.0), k=2).iloc[0]
    assert row["normalised_violation"] == pytest.approx(0.5 / (PPO["cost"] - 1.0))
    assert (row["feasible"], row["feasible_episodes"], row["steps_to_return"]) == (0.0, 0.5, np.inf)


def test_at_equal_progress_later_records_do_not_count(run):
    row = score(run, k=2, at=3000)
    assert (row["return"], row["total_cost"], row["env_steps"], row["wall_hours"]) == (
        13.0,
        42.0,
        3000,
        300.0 / 3600.0,
    )
    write_run(run.parent / "osrp-1", "osrp", 1, evals=[(1000, 1.0, 1.0), (2000, 1.0, 1.0)])
    assert metrics.equal_progress(load([run.parent])) == 2000


def test_worst_share_counts_in_part():
    values = np.arange(30.0)  # 5 % of 30 episodes is one and a half
    assert metrics.worst_mean(values) == pytest.approx((29.0 + 0.5 * 28.0) / 1.5)
    assert metrics.worst_mean(values, 1.0) == values.mean()
    assert np.isnan(metrics.worst_mean(np.array([])))


def test_a_diverged_episode_leaves_no_mean(run):
    file = run / RECORDS_FILE
    file.write_text(
        file.read_text().replace(",17.0,2.0,", ",nan,nan,").replace(",8.0,0.0,", ",8.0,nan,")
    )
    row = score(run, k=2)
    assert all(
        np.isnan(row[name])
        for name in ("return", "cost", "feasible", "total_cost", "cost_rate", "cvar_cost")
    )


def test_a_run_without_records_or_evaluations_has_no_zero(tmp_path):
    write_run(tmp_path / "a", "osrp")
    write_run(tmp_path / "b", "osrp", 1, train=[(4000, 1.0, 1.0)])
    table = metrics.scores(load([tmp_path])).set_index("seed")
    assert table.loc[0, list(metrics.METRICS)].isna().all()
    assert (
        np.isnan(table.loc[1, "return"])
        and table.loc[1, "total_cost"] == 1.0
        and table.loc[1, "judged_on"] == ""
    )


def test_evaluations_with_a_sampled_policy_are_kept_apart(run):
    file = run / RECORDS_FILE
    sampled = [
        line.replace(f",{EVAL},", ",eval_sampled,").replace(",15.0,", ",99.0,")
        for line in file.read_text().splitlines()[1:]
    ]
    before = score(run)
    with file.open("a") as lines:
        lines.writelines(line + "\n" for line in sampled if ",eval_sampled," in line)
    results = load([run])
    assert len(results.episodes) == 10 + 6 and len(results.damage) == 0
    assert metrics.scores(results).iloc[0].drop("run").equals(pd.Series(before).drop("run"))


# -- reference constants ---------------------------------------------------------------------------


def test_constants_are_the_published_rows_of_unconstrained_ppo():
    constants, theirs = (
        published.read("references.csv").set_index("task"),
        published.published(frozenset({"ppo"})),
    )
    assert constants.loc[TASK, list(PPO)].to_dict() == PPO
    for task, row in constants.iterrows():
        same = theirs[(theirs["task"] == task) & (theirs["env_steps"] >= 1e7)]
        assert any(
            row["return"] == r and row["cost"] == c for r, c in zip(same["return"], same["cost"])
        )
        assert row["source"].startswith("Ray et al.") == bool(row["cost_rate"] > 0)


def test_constants_that_nobody_published_come_from_runs_and_say_so(tmp_path):
    task = "SafetyRacecarPush1-v0"
    for seed, ret in enumerate((8.0, 12.0)):
        write_run(
            tmp_path / f"ppo-{seed}",
            "ppo",
            seed,
            task=task,
            evals=[(4000, ret, 40.0)],
            train=[(4000, ret, 50.0)],
        )
    write_run(tmp_path / "osrp-0", "osrp", 0, task=task, evals=[(4000, 5.0, 1.0)])
    results = load([tmp_path])
    (row,) = references.references(results).to_dict("records")
    assert (row["return"], row["cost"], row["cost_rate"]) == (10.0, 40.0, 0.05)
    assert (row["kind"], row["source"]) == ("computed from runs", "computed from 2 runs of ppo")
    table = metrics.scores(results).set_index("method")
    assert table.loc["osrp", "normalised_return"] == 0.5
    (alone,) = references.references(load([tmp_path / "osrp-0"])).to_dict("records")
    assert alone["kind"] == "none" and np.isnan(alone["return"])


@pytest.mark.parametrize("means, rate", [(False, 60.0 / 2000.0), (True, np.nan)])
def test_a_constant_of_runs_without_lengths_is_cost_per_step(tmp_path, means, rate):
    """Means over an unknown number of episodes have no rate."""
    task = "SafetyPointCircle1-v0"
    (tmp_path / "theirs.csv").write_text("R,C,S\n1,40,1000\n2,20,2000\n")
    columns = {"return": "R", "cost": "C", "env_steps": "S"}
    values = {"method": "ppo", "task": task, "per_episode": not means}
    part = table.read(tmp_path / "theirs.csv", columns, values)
    write_run(tmp_path / "osrp", "osrp", train=[(1000, 1.0, 12.0), (2000, 2.0, 6.0)], task=task)
    results = load([tmp_path / "osrp"], [part])
    (row,) = references.references(results).to_dict("records")
    assert row["cost_rate"] == pytest.approx(rate, nan_ok=True)
    found = metrics.scores(results).set_index("method")["normalised_cost_rate"]
    assert found["osrp"] == pytest.approx(18.0 / 2000.0 / rate, nan_ok=True)


def test_a_published_row_without_cost_rate_is_completed_from_runs(tmp_path):
    write_run(
        tmp_path / "ppo",
        "ppo",
        task="SafetyCarGoal2-v0",
        evals=[(4000, 1.0, 40.0)],
        train=[(4000, 1.0, 50.0)],
    )
    (row,) = references.references(load([tmp_path])).to_dict("records")
    assert (row["return"], row["cost"], row["cost_rate"]) == (29.88, 194.16, 0.05)
    assert row["kind"] == "published, cost_rate computed from runs" and row["source"].startswith(
        "OmniSafe"
    )


# -- tables ----------------------------------------------------------------------------------------


def test_the_best_feasible_method_is_bold_and_published_rows_never_are(tmp_path):
    write_sweep(tmp_path)
    # a higher return, but above the cost limit
    write_run(tmp_path / "bsrp", "bsrp_lag", evals=[(4000, 30.0, 2.5)])
    table = comparison.comparison(metrics.scores(load([tmp_path]), k=2))
    assert table.loc[table["best"], ["method", "return", "published"]].values.tolist() == [
        ["osrp", 12.0, False]
    ]
    text = comparison.comparison_table(table).markdown()
    assert "| **OSRP** | **12.00 ± 4.97** | **2.00 ± 0.00** | 100 % | 3 | 2 | 4,000 |" in text
    assert text.count("**") == 6
    assert "| PPO † " in text and "| 24.94 | 57.29 | – | – | 25 | 10,000,000 |" in text
    assert "Safexp-PointGoal1-v0 of the old Safety-Gym after 10M sim steps, cost limit 25" in text
    assert "fewer than 3 seeds have no interval" in text
    paper = comparison.comparison_table(table).latex()
    assert (
        r"\textbf{OSRP} & \textbf{12.00 $\pm$ 4.97} & \textbf{2.00 $\pm$ 0.00} & 100 \% "
        r"& 3 & 2 & 4,000 \\" in paper
    )
    assert paper.count("{") == paper.count("}") and not re.search(r"(?<!\\)[_%&]\w", paper)


def test_published_rows_leave_out_what_is_no_result():
    table = published.published()
    ours = table[table["method"] == "OSRP (vector)"]
    assert len(ours) == 2 and not table["protocol"].str.contains("PERTURBED|INVALID").any()
    assert table["protocol"].str.len().min() > 20 and table[["return", "cost"]].notna().all(
        axis=None
    )


def test_published_returns_that_no_episode_can_have_are_marked():
    table = published.published()
    marked = table[table["protocol"].str.contains("not comparable")]
    assert set(marked["task"]) == {"SafetyPointCircle1-v0"} and len(marked) == 9
    # the offline methods of the same source are possible
    offline = table[table["task"].str.startswith("SafetyPointCircle1-v0(")]
    assert len(offline) == 12
    assert (offline["return"] < published.MAX_RETURN["SafetyPointCircle1-v0"]).all()


# -- what is missing, what is there twice ----------------------------------------------------------


def test_gaps_name_what_would_complete_the_grid(tmp_path):
    write_sweep(tmp_path)
    write_run(
        tmp_path / "osrp-other", "osrp", 0, task="SafetyCarGoal1-v0", evals=[(4000, 1.0, 1.0)]
    )
    write_run(tmp_path / "osrp-empty", "osrp", 1, task="SafetyCarGoal1-v0")
    found = gaps(load([tmp_path]))[["label", "task", "seed", "reason"]].values.tolist()
    assert found == [
        ["dreamerv3", "SafetyCarGoal1-v0", 0, "not run"],
        ["osrp", "SafetyCarGoal1-v0", 1, "no records"],
        ["osrp", "SafetyCarGoal1-v0", 2, "not run"],
    ]


def test_gaps_of_one_suite_are_none_of_another(tmp_path):
    for name, method, task, suites in (
        ("a", "osrp", TASK, '"paper", "ablation"'), ("b", "osrp", "SafetyCarGoal1-v0", '"paper"'),
        ("c", "cem", TASK, '"ablation"')
    ):  # fmt: skip
        folder = write_run(tmp_path / name, method, task=task, evals=[(4000, 1.0, 1.0)])
        (folder / "sweep.json").write_text(f'{{"suites": [{suites}]}}')
    assert gaps(load([tmp_path])).empty
    write_run(tmp_path / "c2", "cem", 1, task=TASK)
    (tmp_path / "c2/sweep.json").write_text('{"suites": ["paper"]}')
    found = gaps(load([tmp_path]))[["label", "task", "seed", "reason"]].values.tolist()
    assert found == [["cem", "SafetyCarGoal1-v0", 1, "not run"], ["cem", TASK, 1, "no records"]]


def test_variants_are_methods_of_their_own(tmp_path):
    folder = write_run(tmp_path / "a", "osrp", evals=[(4000, 1.0, 1.0)])
    (folder / "sweep.json").write_text(
        '{"suites": ["mine"], "tags": ["x", "y"], "variant": "horizon=5"}'
    )
    results = load([tmp_path])
    row = run_row(results, "a")
    assert (row["label"], row["variant"], row["tags"], row["suites"]) == (
        "osrp [horizon=5]",
        "horizon=5",
        "x,y",
        "mine",
    )
    assert set(results.episodes["label"]) == {"osrp [horizon=5]"}
    assert metrics.scores(results)["method"].tolist() == ["osrp [horizon=5]"]


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ("head", "osrp"),
        ("none", "osrp"),
        ("tracked", "osrp (tracked hazards)"),
        ("geometry", "osrp (hazard geometry)"),
        ("oracle", "osrp (costs from oracle)"),
    ],
)
def test_a_run_that_is_given_its_costs_is_named_so(tmp_path, source, label):
    folder = write_run(tmp_path / "a", "osrp", evals=[(4000, 1.0, 1.0)])
    spec = json.loads((folder / "spec.json").read_text())
    spec["spec"]["agent"]["model"] = {"cost_source": source}
    (folder / "spec.json").write_text(json.dumps(spec))
    results = load([tmp_path])
    assert results.runs["label"].tolist() == [label] and set(results.episodes["label"]) == {label}
    assert method_label(label) == label.replace("osrp", "OSRP")
    assert split_label(f"{label} [x=1]") == (*split_label(label)[:2], "x=1")
    (folder / "sweep.json").write_text('{"variant": "tracked hazards"}')  # not said twice
    (named,) = load([tmp_path]).runs["label"]
    assert named == (label if source == "tracked" else f"{label} [tracked hazards]")


def test_one_run_under_two_tags_is_no_duplicate(tmp_path):
    for tag in ("before", "after"):
        folder = write_run(tmp_path / tag / "run", "osrp", evals=[(4000, 1.0, 1.0)], run_id="same")
        (folder / "sweep.json").write_text(f'{{"tags": ["{tag}"]}}')
    results = load([tmp_path])
    assert (
        results.runs["used"].all()
        and "same method, task and seed as" in results.runs["notes"].iloc[1]
    )
    (folder / "sweep.json").write_text('{"tags": ["after"]}')
    write_run(tmp_path / "copy", "osrp", evals=[(4000, 1.0, 1.0)], run_id="same")
    (tmp_path / "copy/sweep.json").write_text('{"tags": ["after"]}')
    assert sorted(load([tmp_path]).runs["status"]) == ["complete", "complete", "duplicate"]


def test_runs_of_one_label_with_other_settings_say_so(tmp_path):
    for seed, cost_limit in enumerate((1.0, 1.0, 3.0)):
        folder = tmp_path / f"seed{seed}"
        write_run(folder, "osrp", seed, evals=[(4000, 1.0, 1.0)], cost_limit=cost_limit)
    write_run(tmp_path / "other", "ppo", evals=[(4000, 1.0, 1.0)], cost_limit=9.0)
    notes = load([tmp_path]).runs.set_index("run")["notes"]
    assert "other settings than" in notes[notes.index.str.endswith("seed2")].item()
    assert not notes[~notes.index.str.endswith("seed2")].any()
    (tmp_path / "seed2" / "sweep.json").write_text('{"variant": "limit 3"}')
    assert not load([tmp_path]).runs["notes"].any()


def test_failed_and_cancelled_runs_say_so(tmp_path):
    failed = write_run(tmp_path / "failed", "osrp", evals=[(2000, 1.0, 1.0)])
    (failed / "status.json").write_text('{"state": "failed", "last_error": "loss is NaN"}')
    cancelled = write_run(tmp_path / "cancelled", "osrp", 1)
    (cancelled / "attempts.jsonl").write_text(
        '{"event": "submitted"}\n{"event": "cancelled"}\n{"event": "en'
    )
    again = write_run(tmp_path / "again", "osrp", 2)
    (again / "attempts.jsonl").write_text('{"event": "cancelled"}\n{"event": "submitted"}\n')
    results = load([tmp_path])
    assert (
        run_row(results, "failed")["status"] == "failed"
        and "loss is NaN" in run_row(results, "failed")["notes"]
    )
    assert run_row(results, "failed")["used"]
    assert (run_row(results, "cancelled")["status"], run_row(results, "again")["status"]) == (
        "cancelled",
        "no records",
    )


def test_parts_with_the_same_name_stay_apart(tmp_path):
    results = load([write_sweep(tmp_path)])
    part = Part(
        results.episodes[["run", *COLUMNS]],
        [{"run": r, "run_id": r} for r in results.runs["run"]],
        results.damage,
    )
    other = part._replace(facts=[{**fact, "run_id": f"{fact['run_id']}-2"} for fact in part.facts])
    both = merge([part, other])
    assert (
        len(both.runs) == 8
        and both.runs["run"].is_unique
        and len(both.episodes) == 2 * len(results.episodes)
    )
