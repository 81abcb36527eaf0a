"""Runs of OmniSafe, in separate processes.

Every algorithm trains, every kind of state resumes exactly, and all stay isolated from JAX. Trained
policies are evaluated, published and stress-tested.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from baselines.omnisafe.algorithms import ALGORITHMS
from benchmarks.cli import analysis, app, evaluate, stress
from benchmarks.cli.publish import final_evaluation
from benchmarks.methods.saved import newest
from benchmarks.process.signals import EXIT_STOPPED
from benchmarks.runs import checkpoint
from benchmarks.runs.files import FINAL_FILE, SWEEP_FILE
from benchmarks.runs.policy_file import TOLERANCE
from benchmarks.runs.reading import DamagedFile
from benchmarks.runs.records import FINAL, read_records
from benchmarks.runs.status import read_status
from benchmarks.stress import records
from benchmarks.sweep.members import member
from benchmarks.zoo import entry
from benchmarks.zoo.adding import add
from slurm.minicluster.processes import wait_until
from tests.omnisafe_runs import EVALUATED, PUBLISHED, RESULTS, RESUMED, TASK
from tests.programs import lives, output, python
from tests.tree import ROOT

pytestmark = [pytest.mark.omnisafe, pytest.mark.slow]


@pytest.fixture(scope="module")
def all_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("omnisafe")
    output("-m", "tests.omnisafe_runs", str(folder))
    return folder, json.loads((folder / RESULTS).read_text())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_trains_and_records(all_runs: tuple[Path, dict[str, Any]], name: str):
    folder, found = all_runs
    result = found["results"][name]
    assert "error" not in result, result["error"]
    assert result["finished"]
    frame = read_records(folder / name / "undisturbed")
    splits = Counter(frame["split"])
    kind = ALGORITHMS[name].family
    assert splits["eval"] == splits["eval_sampled"] or (
        kind == "model-based" and splits["eval_sampled"] == 0
    )
    assert splits["eval"] >= 4 and frame["env_steps"].max() == result["env_steps"]
    assert set(frame[frame["split"] == "eval"]["episode"]) == {0, 1}
    train = frame[frame["split"] == "train"]
    whole = train["length"] == 20
    assert whole.all() or name in ("ppo_early_terminated", "trpo_early_terminated")
    rows = [
        json.loads(line)
        for line in (folder / name / "undisturbed" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [row["Train/Epoch"] for row in rows] == [0, 1, 2]
    assert None not in [value for row in rows for value in row.values()]


@pytest.mark.parametrize("name", RESUMED)
def test_resumes_exactly(all_runs: tuple[Path, dict[str, Any]], name: str):
    result = all_runs[1]["results"][name]
    assert 0 < result["stopped"] < result["env_steps"]
    assert result["beyond"] == []  # episodes of a discarded epoch are not recorded
    assert (result["episodes.csv"], result["metrics.jsonl"]) == (True, True)


def test_resumed_algorithms_have_every_kind_of_state(all_runs: tuple[Path, dict[str, Any]]):
    def state(name: str) -> set[str]:
        saved = newest(all_runs[0] / name / "undisturbed")
        return set(checkpoint.read_meta(saved.checkpoint, saved.spec.run_id)["learner"])

    for family in ("on-policy", "off-policy", "model-based"):
        names = [name for name, row in ALGORITHMS.items() if row.family == family]
        covered = set().union(*(state(name) for name in names if name in RESUMED))
        lacking = {name: state(name) - covered for name in names}
        assert not any(lacking.values()), lacking


def test_the_process_of_all_algorithms_has_no_jax(all_runs: tuple[Path, dict[str, Any]]):
    assert all_runs[1]["jax"] is False


def test_the_last_checkpoint_is_that_of_the_last_step_and_trained(
    all_runs: tuple[Path, dict[str, Any]],
):
    folder = all_runs[0] / "ppo_lag" / "undisturbed" / "checkpoints"
    first, last = (
        checkpoint.load_flat(path, checkpoint.LEARNER) for path in sorted(folder.iterdir())
    )
    assert sorted(folder.iterdir())[-1].name == "000000000150"
    weights = [name for name in last if name.endswith("actor.mean.0.weight")]
    assert weights and all((first[name] != last[name]).any() for name in weights)


COMMAND = ("train", "--preset", "debug", "--report-seconds", "0")
SHORE = ("--task", TASK)
SHORT = (
    "--loop.action-repeat",
    "2",
    "--algo-cfgs.steps-per-epoch",
    "20",
    "--loop.eval-episodes",
    "1",
)


def test_parent_and_child_keep_their_libraries_apart(tmp_path: Path):
    """The child imports torch but not JAX; the parent does not import torch.

    Both are the processes that `safedreamer train` starts.
    """
    spy = tmp_path / "sitecustomize.py"
    spy.write_text(
        "import atexit, os, sys\n"
        "leave = os._exit\n"
        "def note(status=0):\n"
        "    names = sorted({'jax', 'torch', 'omnisafe'} & set(sys.modules))\n"
        "    open(os.environ['NOTES'], 'a').write(' '.join([' '.join(sys.orig_argv[1:3]), "
        "*names]) + '\\n')\n"
        "atexit.register(note)\n"
        "def left(status):\n"
        "    note()\n"
        "    leave(status)\n"
        "os._exit = left\n"
    )
    notes = tmp_path / "notes.txt"
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    done = python(
        *("-m", "benchmarks.cli", *COMMAND, *SHORE, *SHORT, "--method", "ppo_lag"),
        *("--steps", "80", "--out", str(tmp_path / "run")),
        PYTHONPATH=path,
        NOTES=str(notes),
    )
    assert done.returncode == 0, done.stderr
    assert "finished at 80 simulator steps" in done.stdout
    found = {
        line.split()[1]: line.split()[2:]
        for line in notes.read_text().splitlines()
        if line.startswith("-m ")
    }
    assert found["benchmarks.omnisafe"] == ["omnisafe", "torch"]
    assert "torch" not in found["benchmarks.cli"]


def start(out: Path, steps: int, method: str = "ppo_lag") -> subprocess.Popen[str]:
    args = [*COMMAND, *SHORE, *SHORT, "--method", method, "--steps", str(steps), "--out", str(out)]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.cli", *args],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_steps(out: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if (out / "status.json").exists() and read_status(out).env_steps > 0:
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate())


def steady(out: Path) -> pd.DataFrame:
    return read_records(out).drop(columns="wall_seconds")


def test_a_signal_saves_and_a_kill_loses_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    """SIGTERM: status 75 and a checkpoint. SIGKILL of the parent: the child ends too.

    The continued run equals an undisturbed one.
    """
    steps = 40 * 40
    out = tmp_path / "run"
    process = start(out, steps)
    wait_for_steps(out, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_STOPPED, errors
    assert "SIGTERM: saving" in errors
    stopped = read_status(out)
    assert stopped.state == "stopped" and stopped.env_steps < steps

    process = start(out, steps)
    wait_for_steps(out, process)
    child = read_status(out).pid
    assert child != process.pid
    process.kill()
    process.communicate()
    assert wait_until(lambda: not lives(child), 20.0)

    finished = start(out, steps)
    _, errors = finished.communicate(timeout=120)
    assert finished.returncode == 0, errors
    undisturbed = start(tmp_path / "other", steps)
    undisturbed.communicate(timeout=120)
    pd.testing.assert_frame_equal(steady(out), steady(tmp_path / "other"))

    again = tmp_path / "e.csv"
    assert app.main(["evaluate", str(out), "--episodes", "1", "--out", str(again)]) == 0
    last = steady(out)
    last = last[(last["env_steps"] == steps) & (last["split"] != "train")].reset_index(drop=True)
    pd.testing.assert_frame_equal(steady(again), last)
    assert final_evaluation(member(out), 2)
    final = read_records(out / FINAL_FILE)
    assert list(final["split"]) == [FINAL] * 2 and list(final["episode"]) == [1000, 1001]
    assert app.main(["evaluate", str(out), "--video"]) == 2
    assert "videos are not offered" in capfd.readouterr().err


def ends_badly(capfd: pytest.CaptureFixture[str], *args: str) -> str:
    """The error of a command that ends with status 2 and without a traceback."""
    assert app.main([*COMMAND, *args]) == 2
    error = capfd.readouterr().err
    assert "Traceback" not in error and "Fatal" not in error
    return error


def test_bad_input_is_one_line_and_status_2(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    run = ("--steps", "160", "--out", str(tmp_path / "run"))
    short = ("--loop.action-repeat", "2", "--algo-cfgs.steps-per-epoch", "8")
    # Only the user's environment determines the length of an episode.
    assert "at least --algo-cfgs.steps-per-epoch 10" in ends_badly(
        capfd, *SHORE, "--method", "ppo_lag", *short, *run
    )
    cuda = ("--train-cfgs.device", "cuda:9")
    assert "GPU" in ends_badly(capfd, *SHORE, "--method", "cpo", *SHORT, *cuda, *run)


def test_an_environment_that_breaks_its_contract_is_one_line_and_status_2(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
):
    run = ("--method", "ppo_lag", "--steps", "80", "--out", str(tmp_path / "run"))
    error = ends_badly(capfd, *SHORT, *run, "--task", "tests.fakes.odd_envs:obs_nan")
    said = r"task '\S+', step 7: observation 'observation'\[1\] is nan"
    assert re.search(rf"error: environment 0, episode 0, {said}", error)
    assert "policy" not in error
    assert not (tmp_path / "run" / "faults.jsonl").exists()


@pytest.mark.parametrize("name", EVALUATED)
def test_evaluation_changes_neither_statistics_nor_random_numbers(
    all_runs: tuple[Path, dict[str, Any]], name: str
):
    assert all_runs[1]["evaluated"][name] == {"plain": True, "arrays": True}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_zoo_keeps_a_part_that_acts_as_the_run_does(
    all_runs: tuple[Path, dict[str, Any]], name: str
):
    found = all_runs[1]["published"][name]
    assert found["same"]
    assert 0 < found["share"] < 0.5
    assert (found["dtype"] == "float16") == (found["error"] <= TOLERANCE)


def test_a_policy_of_the_zoo_is_evaluated_and_stressed_without_its_run(
    all_runs: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run = all_runs[0] / "ppo_lag" / "undisturbed"
    assert final_evaluation(member(run), 2)
    added = add(run, tmp_path / "zoo")
    kept = np.load(added.folder / entry.POLICY).files
    assert kept and all("actor" in name or "normalizer" in name for name in kept), kept
    monkeypatch.setattr(entry, "ROOT", tmp_path / "zoo")
    monkeypatch.setattr(analysis, "run", lambda *_: 0)  # tests/analysis/test_stress.py covers it
    out = tmp_path / "again.csv"
    args = [f"zoo:{added.name}", "--unseen", "--episodes", "2", "--out", str(out)]
    assert evaluate.main(args) == 0
    rows = read_records(out).query("split == 'eval'")
    assert list(rows["episode"]) == [1000, 1001]
    varied = shutil.copytree(run, tmp_path / "varied")
    (varied / SWEEP_FILE).write_text('{"variant": "half"}')
    assert evaluate.main([str(varied), "--episodes", "1"]) == 0
    (table,) = varied.glob("evaluation-*.csv")
    assert set(read_records(table)["method"]) == {"ppo_lag [half]"}
    final = read_records(run / FINAL_FILE)
    np.testing.assert_allclose(rows["return"], final["return"], rtol=0.02, atol=0.02)
    stressed = [f"zoo:{added.name}", "--only", "sensor_noise", "--strengths", "0.1"]
    assert stress.main([*stressed, "--episodes", "2", "--out", str(tmp_path / "stress")]) == 0
    with (added.folder / entry.POLICY).open("ab") as file:
        file.write(b"more")
    with pytest.raises(DamagedFile, match=r"its SHA-256 is not that of card.json"):
        evaluate.main(args)


def test_a_policy_is_perturbed_and_otherwise_plays_as_in_evaluate(
    all_runs: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(analysis, "run", lambda *_: 0)
    run, table = str(all_runs[0] / "ppo_lag" / "undisturbed"), tmp_path / "plain.csv"
    assert app.main(["evaluate", run, "--episodes", "3", "--out", str(table), "--unseen"]) == 0
    line = ["stress", run, "--episodes", "3", "--out", str(tmp_path), "--only"]
    only = ["action_gain", "sensor_delay", "--strengths", "1"]
    assert app.main([*line, *only]) == 0
    rows = records.read(tmp_path / "stress.csv")
    returns = [row.record.return_ for row in rows]
    plain = read_records(table)
    assert returns[:3] == plain[plain["split"] == "eval"]["return"].tolist()
    assert returns[3:6] == [0.0] * 3  # at a gain of 0 nothing moves
    assert returns[6:] != returns[:3]
    assert [row.perturbation for row in rows[::3]] == ["none", "action_gain", "sensor_delay"]
    before = (tmp_path / "stress.csv").read_text()
    assert app.main([*line, *only]) == 0
    assert (tmp_path / "stress.csv").read_text() == before
    assert app.main([*line, "model_bits"]) == 2
    assert "model_bits needs a world model in JAX" in capfd.readouterr().err


def test_several_environments_train_and_resume(all_runs: tuple[Path, dict[str, Any]]):
    assert all_runs[1]["several"] == {
        "late": [True, False],  # stopped during the last evaluation
        "finished": True,
        "saved again": False,  # by the same command once more
        "same": [True] * 4,
        # header; 3 epochs x 3 environments x 2 episodes; 3 evaluations of 2 + 2 episodes
        "lines": 1 + 3 * 3 * 2 + 3 * 4,
    }
