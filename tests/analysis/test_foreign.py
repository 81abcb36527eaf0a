"""Results of other programs.

What is read, what is marked as missing, what is reported as damaged; nothing is dropped silently.
"""

import builtins
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from tensorboardX import SummaryWriter

from analysis import synthetic
from analysis.read import foreign
from analysis.read.foreign import table, tensorboard
from analysis.read.foreign.common import METHODS
from analysis.read.load import load
from analysis.results.judge import UNCONSTRAINED
from analysis.statistics import metrics
from baselines.omnisafe.algorithms import ALGORITHMS
from benchmarks.methods import METHODS as ALL_METHODS
from benchmarks.runs.records import COLUMNS

OMNISAFE = "Metrics/EpRet,Metrics/EpCost,Metrics/EpLen,Train/Epoch,TotalEnvSteps,Time/Total"
SAFEPO = (
    "Metrics/EpRet,Metrics/EpCost,Metrics/EpLen,Metrics/EvalEpRet,Metrics/EvalEpCost,"
    "Metrics/EvalEpLen,Train/TotalSteps,Time/Total"
)


def omnisafe_run(root, rows, seed=0, config=True):
    folder = root / "PPOLag-{SafetyPointGoal1-v0}" / f"seed-{seed:03d}-2026-01-01-00-00-00"
    folder.mkdir(parents=True)
    (folder / "progress.csv").write_text("\n".join([OMNISAFE, *rows]) + "\n")
    if config:
        blocks = {"train_cfgs": {"total_steps": 40000}, "lagrange_cfgs": {"cost_limit": 25.0}}
        (folder / "config.json").write_text(
            json.dumps({"algo": "PPOLag", "env_id": "SafetyPointGoal1-v0", "seed": seed, **blocks})
        )
    return folder


def test_omnisafe_progress_are_means_and_marked(tmp_path):
    omnisafe_run(tmp_path, ["1.0,60.0,1000.0,0,20000,10.0", "5.0,20.0,1000.0,1,40000,21.0"])
    results = load([tmp_path])
    (run,) = results.runs.to_dict("records")
    assert (run["method"], run["task"], run["obs"], run["seed"]) == (
        "ppo_lag",
        "SafetyPointGoal1-v0",
        "lidar",
        0,
    )
    assert (run["status"], run["cost_limit"], run["budget_env_steps"], run["source"]) == (
        "complete",
        25.0,
        40000,
        "omnisafe",
    )
    assert (
        run["lacks"] == "per-episode data (means over 50 episodes), evaluations"
        and not run["per_episode"]
    )
    assert (
        results.episodes["return"].tolist() == [1.0, 5.0]
        and results.episodes["agent_steps"].isna().all()
    )
    (row,) = metrics.scores(results).to_dict("records")
    assert (row["return"], row["cost"], row["feasible"], row["judged_on"]) == (
        5.0,
        20.0,
        1.0,
        "training means",
    )
    nothing = (
        "total_cost",
        "cost_rate",
        "cost_regret",
        "violation_rate",
        "cvar_cost",
        "feasible_episodes",
        "auc_return",
    )
    assert all(np.isnan(row[name]) for name in nothing)
    assert row["wall_hours"] == 21.0 / 3600.0


def test_safepo_progress_has_evaluations_and_times_of_epochs(tmp_path):
    folder = tmp_path / "SafetyCarGoal1-v0" / "trpo_lag" / "seed-005-2026-01-01-00-00-00"
    folder.mkdir(parents=True)
    lines = [
        SAFEPO,
        "1.0,60.0,1000,2.0,50.0,1000,20000,10.0",
        "3.0,40.0,1000,4.0,30.0,1000,40000,12.0",
    ]
    (folder / "progress.csv").write_text("\n".join(lines) + "\n")
    (folder / "config.json").write_text(
        '{"env_id": "SafetyCarGoal1-v0", "seed": 5, "total_steps": 40000, "cost_limit": 25.0}'
    )
    results = load([tmp_path])
    (run,) = results.runs.to_dict("records")
    assert (run["method"], run["task"], run["seed"], run["source"]) == (
        "trpo_lag",
        "SafetyCarGoal1-v0",
        5,
        "safepo",
    )
    assert (run["lacks"], run["wall_seconds"]) == (
        "per-episode data (means over 50 episodes)",
        22.0,
    )
    (row,) = metrics.scores(results, k=1).to_dict("records")
    assert (row["return"], row["cost"], row["judged_on"]) == (4.0, 30.0, "evaluations")
    assert np.isnan(row["feasible_episodes"])


def test_damaged_lines_of_progress_are_named(tmp_path):
    omnisafe_run(tmp_path, ["1.0,60.0,1000.0,0,20000,10.0", "x,20.0,1000.0,1,40000,21.0", "1.0,2"])
    results = load([tmp_path])
    assert results.damage[["file", "line", "reason"]].values.tolist() == [
        ["progress.csv", 3, "could not convert string to float: 'x'"],
        ["progress.csv", 4, "2 of 6 fields"],
    ]
    assert results.runs["damaged_lines"].tolist() == [2] and results.runs["status"].tolist() == [
        "short of its step budget"
    ]


def test_progress_without_config_or_cost_says_so(tmp_path):
    folder = omnisafe_run(tmp_path, ["1.0,60.0,1000.0,0,20000,10.0"], seed=3, config=False)
    (run,) = load([tmp_path]).runs.to_dict("records")
    assert (run["method"], run["task"], run["seed"], run["status"]) == (
        "ppo_lag",
        "SafetyPointGoal1-v0",
        3,
        "no step budget known",
    )
    assert "taken from folder names" in run["notes"]
    (folder / "progress.csv").write_text("Metrics/EpRet,TotalEnvSteps\n1.0,1000\n")
    (run,) = load([tmp_path]).runs.to_dict("records")
    assert (
        run["status"] == "unreadable records"
        and "progress.csv lacks Metrics/EpCost" in run["notes"]
    )


def release_run(
    root,
    lines,
    config=(
        "method: osrp\n"
        "task: safetygymcoor_SafetyPointGoal1-v0\n"
        "seed: 10\n"
        "cost_limit: 0.0\n"
        "run: {steps: 1}\n"
    ),
):
    folder = root / "20260101-000000_osrp_safetygymcoor_SafetyPointGoal1-v0_10"
    folder.mkdir()
    (folder / "scores.jsonl").write_text(
        "".join(json.dumps(line) + "\n" if isinstance(line, dict) else line for line in lines)
    )
    (folder / "metrics.jsonl").write_text("")
    if config:
        (folder / "config.yaml").write_text(config)
    return folder


def test_scores_of_the_release_are_episodes(tmp_path):
    lines = [
        {"step": 1000, "episode/score": 1.0, "episode/cost": 6.0, "episode/cost_ema": 0.06},
        {
            "step": 2000,
            "episode/score": 3.0,
            "episode/cost": 2.0,
            "eval_episode/score": 9.0,
            "eval_episode/cost": 0.0,
        },
        '{"step": 3000, "episode/sc',
    ]
    release_run(tmp_path, lines)
    results = load([tmp_path])
    (run,) = results.runs.to_dict("records")
    assert (run["method"], run["task"], run["obs"], run["seed"], run["cost_limit"]) == (
        "osrp", "SafetyPointGoal1-v0", "coordinates", 10, 0.0
    )  # fmt: skip
    assert (
        "lengths" in run["lacks"] and run["per_episode"] and results.damage["line"].tolist() == [3]
    )
    assert results.episodes[["split", "env_steps", "return", "cost"]].values.tolist() == [
        ["train", 1000, 1.0, 6.0], ["train", 2000, 3.0, 2.0], ["eval", 2000, 9.0, 0.0]
    ]  # fmt: skip
    (row,) = metrics.scores(results).to_dict("records")
    assert (row["return"], row["cost"], row["feasible"], row["total_cost"]) == (9.0, 0.0, 1.0, 8.0)
    assert row["cost_rate"] == 8.0 / 2000.0  # the file has the steps but no lengths


def test_release_without_config_is_known_by_its_folder(tmp_path):
    release_run(tmp_path, [{"step": 1000, "episode/score": 1.0, "episode/cost": 6.0}], config="")
    (run,) = load([tmp_path]).runs.to_dict("records")
    assert (run["method"], run["seed"], run["notes"]) == (
        "osrp",
        10,
        "no config.yaml: the cost limit is not known",
    )
    assert np.isnan(run["cost_limit"])


def test_our_runs_and_theirs_load_together(tmp_path):
    synthetic.write(
        tmp_path / "ours", synthetic.results(methods=("osrp",), tasks=1, seeds=2, steps=20_000)
    )
    omnisafe_run(tmp_path / "theirs", ["1.0,60.0,1000.0,0,20000,10.0"])
    release_run(tmp_path, [{"step": 1000, "episode/score": 1.0, "episode/cost": 6.0}])
    results = load([tmp_path])
    assert sorted(results.runs["source"]) == ["omnisafe", "release", "run folder", "run folder"]
    assert set(metrics.scores(results)["method"]) == {"osrp", "ppo_lag"}
    assert results.episodes["length"].isna().sum() == 1


# -- TensorBoard -----------------------------------------------------------------------------------


def events(folder, series):
    writer = SummaryWriter(str(folder))
    for tag, points in series.items():
        for step, value in points.items():
            writer.add_scalar(tag, value, step)
    writer.close()


def test_tensorboard_files_with_epochs_on_the_axis(tmp_path):
    folder = tmp_path / "PPOLag-{SafetyPointGoal1-v0}" / "seed-004-2026" / "tb"
    values = {
        "Metrics/EpRet": {0: 1.0, 1: 2.5},
        "Metrics/EpCost": {0: 60.0, 1: 30.0},
        "TotalEnvSteps": {0: 20000, 1: 40000},
    }
    events(folder, values)
    results = load([tmp_path])
    (run,) = results.runs.to_dict("records")
    assert (run["method"], run["task"], run["seed"], run["source"]) == (
        "ppo_lag",
        "SafetyPointGoal1-v0",
        4,
        "tensorboard",
    )
    assert results.episodes[["env_steps", "return", "cost"]].values.tolist() == [
        [20000, 1.0, 60.0],
        [40000, 2.5, 30.0],
    ]
    assert "evaluations" in run["lacks"] and "guessed" in run["notes"]


def test_tensorboard_without_known_tags_lists_those_there_are(tmp_path):
    events(tmp_path / "a", {"my/return": {1: 1.0}})
    (run,) = load([tmp_path]).runs.to_dict("records")
    assert run["status"] == "unreadable records" and "there are my/return" in run["notes"]
    part = tensorboard.read(
        tmp_path / "a",
        "a",
        {**tensorboard.TAGS, ("train", "return"): ("my/return",)},
        {"method": "mine"},
    )
    assert part.episodes["return"].tolist() == [1.0] and part.facts[0]["method"] == "mine"


def test_without_the_package_the_run_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.out.tfevents.1.host").write_bytes(b"")
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("tensorboardX"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    (run,) = load([tmp_path]).runs.to_dict("records")
    assert run["status"] == "unreadable records" and "pip install tensorboard" in run["notes"]


# -- any table -------------------------------------------------------------------------------------


def test_any_csv_with_a_map_of_its_columns(tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_text(
        "algo,s,steps,R,C,phase\n"
        "new,0,1000,1.5,3,eval\n"
        "new,1,1000,2.5,4,eval\n"
        "new,1,2000,oops,4,eval\n"
        "new,1,3000,1,1,dev\n"
    )
    columns = {
        "method": "algo",
        "seed": "s",
        "env_steps": "steps",
        "return": "R",
        "cost": "C",
        "split": "phase",
    }
    part = table.read(file, columns, {"task": "SafetyPointGoal1-v0", "cost_limit": 3.5})
    results = load([], parts=[part])
    assert results.runs[["method", "task", "seed", "cost_limit",
        "eval_episodes"]].values.tolist() == [
        ["new", "SafetyPointGoal1-v0", 0, 3.5, 1], ["new", "SafetyPointGoal1-v0", 1, 3.5, 1]
    ]  # fmt: skip
    assert results.damage[["line", "reason"]].values.tolist() == [
        [4, "could not convert string to float: 'oops'"],
        [5, "split is 'dev'"],
    ]
    assert metrics.scores(results)["feasible"].tolist() == [1.0, 0.0]
    with pytest.raises(ValueError, match="has no columns reward; it has algo, s"):
        table.read(file, {**columns, "return": "reward"})
    with pytest.raises(ValueError, match="lacks cost"):
        table.read(file, {"return": "R", "env_steps": "steps"})
    with pytest.raises(ValueError, match="no columns colour; there are"):
        table.read(file, columns, {"colour": 1})


def test_seeds_of_a_table_are_integers_of_any_size(tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_text("s,S,R,C\n1000001,1000,1,3\n1000002,1000,2,3\n0.5,1000,3,3\nnan,1000,4,3\n")
    columns = {"seed": "s", "env_steps": "S", "return": "R", "cost": "C"}
    results = load([], parts=[table.read(file, columns, {"task": "T"})])
    assert results.runs["seed"].dropna().tolist() == [1000001, 1000002]
    assert results.runs["run"].nunique() == len(results.runs) == 3
    assert results.damage[["line", "reason"]].values.tolist() == [[4, "seed is 0.5"]]
    del columns["seed"]
    for wrong in (0.5, 1e300, "one"):
        with pytest.raises(ValueError, match="not an integer"):
            table.read(file, columns, {"seed": wrong})


def test_names_of_methods_are_those_of_the_baselines():
    assert {row.omnisafe: name for name, row in ALGORITHMS.items()} == METHODS
    free = {name for name, row in ALGORITHMS.items() if not row.constrained}
    assert free | {"dreamerv3", "cem", "sac", "dyna", "mbpo", "mve"} == UNCONSTRAINED
    assert {name for name, x in ALL_METHODS.items() if "nothing" in x.constrains} == UNCONSTRAINED


def test_every_reader_is_recognised():
    assert {
        foreign.recognise({name})
        for name in (
            "progress.csv",
            "scores.jsonl",
            "table.json",
            "events.out.tfevents.1.x",
            "0.monitor.csv",
        )
    } == set(foreign.FORMATS)
    assert foreign.recognise({"notes.txt"}) == ""


# -- Parquet ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Run folders, one without records, and their export."""
    folder = tmp_path_factory.mktemp("sweep")
    methods = ("osrp", "osrp [half size]", "osrp (tracked hazards)")
    made = synthetic.results(methods=methods, tasks=2, seeds=2, steps=20_000)
    synthetic.write(folder, made)
    (sorted((folder / "runs").iterdir())[0] / "episodes.csv").unlink()
    command = [sys.executable, "-m", "benchmarks.cli", "export", str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def test_export_and_folders_give_the_same(exported):
    ours, theirs = load([exported / "runs"]), load([exported / "records.parquet"])
    order = ["run_id", "split", "env_steps", "episode"]
    left, right = (
        part.episodes.drop(columns="run").sort_values(order, ignore_index=True)
        for part in (ours, theirs)
    )
    pd.testing.assert_frame_equal(left, right)
    facts = [
        "run_id",
        "label",
        "status",
        "used",
        "tags",
        "suites",
        "preset",
        "budget_env_steps",
        "cost_limit",
        "eval_episodes",
    ]
    assert set(theirs.runs["label"]) == {"osrp", "osrp [half size]", "osrp (tracked hazards)"}
    left, right = (
        part.runs[facts].sort_values("run_id", ignore_index=True) for part in (ours, theirs)
    )
    pd.testing.assert_frame_equal(left, right)
    assert sorted(ours.runs["status"]) == ["complete"] * 11 + ["no records"]


def test_parquet_files_that_are_no_exports_are_refused(exported, tmp_path):
    from pyarrow import parquet

    whole = parquet.read_table(exported / "records.parquet")
    parquet.write_table(whole.replace_schema_metadata(None), tmp_path / "plain.parquet")
    with pytest.raises(ValueError, match="lacks the list of runs"):
        load([tmp_path / "plain.parquet"])
    parquet.write_table(whole.select(list(COLUMNS)), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="lacks the columns run"):
        load([tmp_path / "other.parquet"])
    (tmp_path / "no.parquet").write_text("nothing")
    with pytest.raises(ValueError, match="is not a Parquet file"):
        load([tmp_path / "no.parquet"])
