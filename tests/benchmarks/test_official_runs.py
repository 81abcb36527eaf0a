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
from benchmarks.cli import app, train
from benchmarks.envs import env_spec
from benchmarks.methods.saved import newest
from benchmarks.runs import checkpoint
from benchmarks.runs.records import read_records
from benchmarks.runs.spec import BadInput, read_spec
from benchmarks.training.evaluation import evaluation_key, run_episodes
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
        # no head stays at zero
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
    """A run too short for an update ends with what it began with."""
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
    # no step taken, no moments
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
        BadInput, match=r"has other sizes than this configuration: add --model\.deter 16$"
    ):
        initial_state(spec, official.agent.env)
