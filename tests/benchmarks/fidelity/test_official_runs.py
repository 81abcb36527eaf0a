"""An authors' checkpoint on the command line, from the file to records and to a run's first
parameters.
"""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.learner import AgentState
from agents.safedreamer.release.params import _official_name, _path
from benchmarks.cli import app, evaluate, train
from benchmarks.cli.official import main as official_main
from benchmarks.cli.official_names import named as named_by
from benchmarks.envs import env_spec
from benchmarks.methods.saved import newest
from benchmarks.runs import checkpoint
from benchmarks.runs.errors import BadInput
from benchmarks.runs.records import EpisodeRecord, read_records, write_records
from benchmarks.runs.spec_file import read_spec
from benchmarks.training.evaluation import run_episodes
from benchmarks.training.keys import evaluation_key
from benchmarks.training.launch import initial_state
from tests.agent_inputs import tiny
from tests.fakes.toys import no_fault, toy_env

TASK = ["--task", "tests.fakes.toys:shore", "--obs", "default", "--method", "bsrp_lag"]
ACTION_REPEAT, STEP, UPDATES = 4, 300, 7
CRITICS = "agent/task_behavior"


class Official(NamedTuple):
    """A checkpoint file as the authors write it, and the agent and parameters that it holds."""

    file: Path
    agent: SafeDreamer
    state: AgentState


def named(tree: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """Parameters under the release's names."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_official_name(_path(keys), prefix): np.asarray(leaf) for keys, leaf in leaves}


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Official:
    agent = SafeDreamer(tiny("bsrp_lag", "default"), env_spec(toy_env(ACTION_REPEAT)))
    state, rng = agent.init(0), np.random.default_rng(0)
    params, slow, slow_cost = jax.tree.map(
        # no head keeps its zero initialisation
        lambda x: np.asarray(x) + 0.1 * rng.normal(size=x.shape).astype(np.float32),
        (state.params, state.slow_critic, state.slow_cost_critic),
    )
    arrays = (
        named(params.model)
        | named(params.actor, f"{CRITICS}/safe_ac/actor")
        | named(params.critic, f"{CRITICS}/critic/net")
        | named(params.cost_critic, f"{CRITICS}/cost_critic/net")
        | named(slow, f"{CRITICS}/critic/slow")
        | named(slow_cost, f"{CRITICS}/cost_critic/slow")
        | {f"{CRITICS}/critic/updates/value": np.int32(UPDATES)}
        | {f"{CRITICS}/safe_ac/lagrange/lagrange_multiplier/value": np.float32(0.25)}
    )
    file = tmp_path_factory.mktemp("published") / "checkpoint.ckpt"
    content = {
        "step": STEP,
        "agent": arrays,
        "train_replay": None,
        "eval_replay": None,
        "_timestamp": 1.5,
    }
    file.write_bytes(pickle.dumps(content))
    return Official(
        file, agent, state._replace(params=params, slow_critic=slow, slow_cost_critic=slow_cost)
    )


@pytest.mark.slow
def test_its_episodes_are_those_of_its_parameters(
    official: Official, tmp_path: Path, capfd: pytest.CaptureFixture
):
    out = tmp_path / "records.csv"
    command = [
        "evaluate",
        "--official",
        official.file,
        *TASK,
        "--episodes",
        2,
        "--seed",
        3,
        "--workers",
        "inline",
        "--out",
        out,
    ]
    assert app.main(list(map(str, command))) == 0
    expected = run_episodes(
        official.agent,
        official.state,
        lambda: toy_env(ACTION_REPEAT),
        run_seed=3,
        episodes=2,
        key=evaluation_key(3, STEP * ACTION_REPEAT),
        on_fault=no_fault,
        workers="inline",
    )
    rows = read_records(out)
    assert (rows["method"].iloc[0], rows["task"].iloc[0], list(rows["episode"])) == (
        "bsrp_lag",
        "tests.fakes.toys:shore",
        [0, 1],
    )
    assert set(rows["agent_steps"]) == {STEP} and set(rows["env_steps"]) == {STEP * ACTION_REPEAT}
    np.testing.assert_allclose(rows["return"], [e.return_ for e in expected], rtol=1e-5)
    assert list(rows["cost"]) == [e.cost for e in expected] and list(rows["length"]) == [20, 20]
    assert f"{rows['return'].mean():.2f}" in capfd.readouterr().out


def test_training_starts_from_its_parameters(official: Official, tmp_path: Path):
    """A run too short for an update ends with its initial parameters."""
    out = tmp_path / "run"
    options = [
        "--init-from",
        official.file,
        "--steps",
        40,
        "--loop.eval-episodes",
        0,
        "--loop.env-workers",
        "inline",
    ]
    assert (
        app.main(list(map(str, ["train", *TASK, "--preset", "debug", *options, "--out", out]))) == 0
    )
    saved = newest(out)
    state = checkpoint.load(saved.checkpoint, checkpoint.LEARNER, official.agent.init(1))
    for name in ("params", "slow_critic", "slow_cost_critic"):
        jax.tree.map(
            np.testing.assert_array_equal, getattr(state, name), getattr(official.state, name)
        )
    assert (int(state.updates), float(state.augmented.multiplier)) == (UPDATES, 0.25)
    # no optimizer step, so the moments are zero
    assert all(np.all(np.asarray(x) == 0) for x in jax.tree.leaves(state.optimizers))
    assert (
        saved.env_steps == 40
        and saved.spec.init_sha256 == hashlib.sha256(official.file.read_bytes()).hexdigest()
    )
    assert read_spec(out)["spec"]["init_from"] == str(official.file)


def test_other_sizes_are_refused_with_the_options_that_fit(official: Official):
    _, spec = train.read(
        [*TASK, "--preset", "debug", "--model.deter", "24", "--init-from", str(official.file)]
    )
    with pytest.raises(
        BadInput, match=r"has other sizes than this configuration: add --model\.deter=16$"
    ):
        initial_state(spec, official.agent.env)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "20240306-153904_bsrp_lag_safetygym_SafetyPointGoal1-v0_0.ckpt",
            ("bsrp_lag", "SafetyPointGoal1-v0", "vision", 0),
        ),
        (
            "20240306-153904_osrp_safetygymcoor_SafetyCarGoal1-v0_15/checkpoint.ckpt",
            ("osrp", "SafetyCarGoal1-v0", "coordinates", 15),
        ),
        (
            "20240306-153904_osrp_lag_vector_safetygym_SafetyPointGoal1-v0_5.ckpt",
            ("osrp_lag", "SafetyPointGoal1-v0", "coordinates", 5),
        ),
        ("20240306-153904_bsrp_lag_safetygym_SafetyPointGoal9-v0_0.ckpt", None),
        ("checkpoint.ckpt", None),
    ],
)
def test_what_a_published_name_says(tmp_path: Path, path: str, expected: tuple | None):
    found = named_by(tmp_path / path)
    assert (found and found[:4]) == expected


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("{}.ckpt", "{}"),
        ("{}/checkpoint.ckpt", "{}"),
        ("{}/latest.ckpt", "{}-latest"),
        ("{}/best/checkpoint.ckpt", "{}-best"),
        ("{}/{}.ckpt", "{}"),
    ],
)
def test_records_are_named_after_the_checkpoint(tmp_path: Path, path: str, label: str):
    name = "20240306-153904_bsrp_lag_safetygym_SafetyPointGoal1-v0_0"
    found = named_by(tmp_path / path.replace("{}", name))
    assert found and found.label == label.replace("{}", name)


def test_no_checkpoint_gets_the_episodes_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Checkpoints of the same file name, two of them of the same full name."""
    folder, out = tmp_path / "published", tmp_path / "out"
    name = "20240306-153904_bsrp_lag_safetygym_SafetyPointGoal1-v0_"
    paths = [folder / at / "latest.ckpt" for at in (f"a/{name}0", f"a/{name}1", f"b/{name}1")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"")
    played = []

    def play(words: list[str]) -> None:
        played.append(Path(words[1]))
        episodes = (
            EpisodeRecord("a", "bsrp_lag", "t", "o", 0, "eval", i, 4, 1, len(played), 0.0, 1, 0.0)
            for i in range(2)
        )
        write_records(words[words.index("--out") + 1], episodes)

    monkeypatch.setattr(evaluate, "main", play)
    assert app.main(["official", str(folder), "--episodes", "2", "--out", str(out)]) == 1
    assert played == paths[:2]
    rows = [line.split(",") for line in (out / "table.csv").read_text().splitlines()[1:]]
    assert [(row[5], row[7]) for row in rows] == [
        ("1.00", f"{name}0-latest"),
        ("2.00", f"{name}1-latest"),
    ]
    assert f"failed: {paths[2]}: its records would replace those of" in capsys.readouterr().err


def test_a_folder_of_checkpoints_becomes_one_table_and_is_continued(
    official: Official, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    """Two checkpoints, one of them unreadable, and a file whose name has no task or method."""
    folder, out = tmp_path / "published", tmp_path / "out"
    folder.mkdir()
    names = [f"20240306-153904_bsrp_lag_safetygym_SafetyPointGoal1-v0_{i}.ckpt" for i in range(2)]
    (folder / names[0]).write_bytes(official.file.read_bytes())
    (folder / names[1]).write_bytes(b"no pickle")
    (folder / "other.ckpt").write_bytes(b"")
    played = []
    monkeypatch.setattr(evaluate, "named", lambda path: None)
    real = evaluate.main

    def on_the_toy(words: list[str]) -> int:
        played.append(Path(words[1]).name)
        return real([*words, *TASK, "--workers", "inline", "--force"])

    monkeypatch.setattr(evaluate, "main", on_the_toy)
    command = ["official", str(folder), "--episodes", "2", "--out", str(out)]
    assert app.main(command) == 1
    said = capsys.readouterr()
    assert f"failed: {folder / names[1]}" in said.err and "other.ckpt" in said.err
    header, row = (out / "table.csv").read_text().splitlines()
    assert header == "method,task,obs,seed,episodes,return,cost,checkpoint"
    assert row.startswith("bsrp_lag,SafetyPointGoal1-v0,vision,0,2,")
    mean = read_records(out / f"{Path(names[0]).stem}.csv")["return"].mean()
    assert row.split(",")[5] == f"{mean:.2f}"
    assert app.main(command) == 1
    assert played == [names[0], names[1], names[1]]  # the first has its records already
    with pytest.raises(BadInput, match="no checkpoint below"):
        official_main([str(out)])
