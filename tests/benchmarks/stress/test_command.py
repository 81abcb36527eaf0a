"""`safedreamer stress` as a user runs it: cells, records, resumption, refusals, transfer."""

from __future__ import annotations

import errno
import fcntl
import gc
import re
import shutil
import weakref
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
import pytest

from agents.safedreamer.agent import SafeDreamer
from benchmarks.cli import analysis, app, stress, train
from benchmarks.runs import checkpoint
from benchmarks.runs.errors import BadInput
from benchmarks.runs.reading import read_object
from benchmarks.stress import errors, play, records, suite
from benchmarks.stress.perturbation import Acting, Policy, acting
from benchmarks.stress.plan import perturbed, transferred, with_settings
from benchmarks.stress.play import Cell, Episodes, factory, policy_of
from benchmarks.stress.registry import PERTURBATIONS, SUITES, higher
from benchmarks.stress.wrapped import Perturbed
from benchmarks.tasks import get_task
from benchmarks.training.episodes import UNSEEN_EPISODE
from benchmarks.training.launch import agent_for, environment, initial_state
from tests.fakes.shore import EPISODE_ENV_STEPS
from tests.untrained import ENV_STEPS, untrained_run

SHORE = "tests.fakes.shore:shore"
OWN = "tests.benchmarks.stress.test_command:Backwards"


class Backwards(Perturbed):
    """A user's perturbation: the action times 1 - 2 * strength."""

    def acted(self, action: np.ndarray) -> np.ndarray:
        return (1.0 - 2.0 * self.strength) * action


class Refusing(Perturbed):
    """A user's perturbation that fits no environment."""

    def __init__(self, env: gymnasium.Env, strength: float) -> None:
        raise ValueError("there is no moon here")


def wider(env: gymnasium.Env, strength: float) -> gymnasium.Env:
    """A perturbation that changes a space, which is forbidden."""
    env.unwrapped.simulator.observation_space = gymnasium.spaces.Dict(  # pyright: ignore[reportAttributeAccessIssue]
        {"observation": gymnasium.spaces.Box(-1, 1, (99,), np.float32)}
    )
    return env


def alone(env: gymnasium.Env) -> gymnasium.Env:
    """A perturbation without a strength."""
    return env


def nothing(env: gymnasium.Env, strength: float) -> None:
    """A perturbation that forgets to return the environment."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "a"
    untrained_run(folder, "dreamerv3", seed=0)
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands of the analysis, which are recorded instead of run."""
    called: list[list[str]] = []

    def run(command: str, args: list[str]) -> int:
        called.append([command, *args])
        return 0

    monkeypatch.setattr(analysis, "run", run)
    return called


def refused(capfd: pytest.CaptureFixture[str], *args: object) -> str:
    assert app.main(["stress", *map(str, args)]) == 2
    err = capfd.readouterr().err
    assert err.startswith("safedreamer: error: ") and err.count("\n") == 1
    return err


@pytest.mark.slow
def test_cells_records_and_resumption(run, tmp_path, undrawn, capfd, monkeypatch):
    # episodes have 11 rows
    for name, value in {"CONTEXT": 3, "HORIZON": 4, "STRIDE": 4, "STEPS_AHEAD": (1, 4)}.items():
        monkeypatch.setattr(errors, name, value)
    out, only = tmp_path / "out", ["action_gain", "sensor_delay", OWN]
    line = ["stress", str(run), "--only", *only, only[0], "--strengths", "1", "--episodes", "3"]
    line += ["--out", str(out)]
    assert app.main(line) == 0
    file = out / "stress.csv"
    rows = records.read(file)
    assert file.read_text().splitlines()[0].endswith(",wall_seconds,perturbation,strength")
    cells = [("none", 0), *((name, 1) for name in only)]
    assert [(r.perturbation, r.strength, r.record.episode) for r in rows] == [
        (*cell, UNSEEN_EPISODE + i) for cell in cells for i in range(3)
    ]
    assert {(r.record.env_steps, r.record.length) for r in rows} == {(ENV_STEPS, EPISODE_ENV_STEPS)}
    # the same cells asked for twice are played once
    assert line.count("action_gain") == 2 and len(rows) == 4 * 3
    costs = {cell: [r.record.return_ for r in rows[3 * i :][:3]] for i, cell in enumerate(cells)}
    assert len({tuple(returns) for returns in costs.values()}) == 4
    assert undrawn == [["stress", str(out)]]
    measured = errors.read(out / "prediction_errors.csv")
    # two windows of 7 rows in each episode of 11; a cell's errors are those of its own rows
    assert [(e.key[3:], e.errors.windows, e.errors.steps_ahead) for e in measured] == [
        (cell, 3 * 2, steps) for cell in cells for steps in (1, 4)
    ]
    assert len({e.errors.observation for e in measured}) == 8
    # killed in the third of four cells: its rows and later ones are replayed, with equal results
    records.write(file, rows[:6])
    assert app.main(line) == 0
    shown = capfd.readouterr().out
    assert shown.count("(was there)") == 2 and "2 cells in" in shown
    for mine, theirs in zip(records.read(file), rows, strict=True):
        assert mine._replace(record=mine.record._replace(wall_seconds=0)) == theirs._replace(
            record=theirs.record._replace(wall_seconds=0)
        )
    assert repr(errors.read(out / "prediction_errors.csv")) == repr(measured)  # some are NaN
    (played,) = read_object(out / "stress.json")["provenance"]  # identical, so listed once
    assert set(played) == {"git", "versions", "hardware"}
    before = file.stat().st_mtime_ns
    assert app.main(line) == 0  # nothing is left to do
    assert file.stat().st_mtime_ns == before
    start = line[1 : line.index("--episodes")]
    for other in (["--episodes", "4"], ["--episodes", "3", "--seed", "2"]):
        assert f"holds cells with {other[-2]}" in refused(capfd, *start, *other, "--out", out)


@pytest.mark.slow
def test_a_degraded_agent_is_released_after_its_cell(run, tmp_path, monkeypatch):
    """Keeping the compiled functions of every agent exhausts memory maps in long processes."""
    made: list[weakref.ref[SafeDreamer]] = []

    def remembered(*args: Any) -> Acting:
        it = acting(*args)
        made.append(weakref.ref(it.agent))
        return it

    monkeypatch.setattr(play, "acting", remembered)
    for name, value in {"CONTEXT": 3, "HORIZON": 4, "STRIDE": 4, "STEPS_AHEAD": (1, 4)}.items():
        monkeypatch.setattr(errors, name, value)
    cells = [Cell(PERTURBATIONS["latent_noise"], strength) for strength in (0.1, 0.3)]
    alive = []
    for *_, found in play.play(policy_of(run), cells, Episodes(0, 1, "inline"), tmp_path, print):
        assert found
        gc.collect()
        alive.append([agent() is not None for agent in made])
    assert alive == [[True], [False, True]]
    gc.collect()
    assert [agent() for agent in made] == [None, None]


@pytest.mark.slow
def test_the_undisturbed_cell_is_what_evaluate_plays_whatever_the_runs_seed(run, tmp_path, undrawn):
    """The same weights in a run of another seed are played on the same layouts."""
    from benchmarks.runs.records import read_records

    other, table = tmp_path / "b", tmp_path / "plain.csv"
    untrained_run(other, "dreamerv3", seed=5, weights=0)
    line = ["--episodes", "3", "--out"]
    options = ["--unseen", "--workers", "inline", "--seed", "0"]
    assert app.main(["evaluate", str(other), *line, str(table), *options]) == 0
    assert app.main(["stress", str(run), *line, str(tmp_path), "--only", "action_gain"]) == 0
    plain = read_records(table)
    mine = [row.record for row in records.read(tmp_path / "stress.csv")[:3]]
    for column, field in (("return", "return_"), ("cost", "cost"), ("episode", "episode")):
        assert plain[column].tolist() == [getattr(record, field) for record in mine]
    assert policy_of(other).spec.run_id != mine[0].run_id and plain["return"][0] != 0


def test_other_settings_are_named_in_the_records(run, tmp_path, undrawn, capfd):
    line = [str(run), "--only", "action_gain", "--episodes", "1", "--out", str(tmp_path)]
    assert app.main(["stress", *line, "--set", "planner.cost-margin=1", "cost_limit=3"]) == 0
    methods = {row.record.method for row in records.read(tmp_path / "stress.csv")}
    # episodes are shorter than a window
    assert not (tmp_path / "prediction_errors.csv").exists()
    assert methods == {"dreamerv3 [planner.cost_margin=1.0, cost_limit=3.0]"}
    limits = [r["cost_limit"] for r in records_about(tmp_path)["runs"].values()]
    assert limits == [policy_of(run).spec.agent.cost_limit]  # judged by the run's own limit
    assert "did you mean planner.cost_margin" in refused(
        capfd, *line, "--set", "planner.cost_margins=1"
    )
    assert "is a setting of training" in refused(capfd, *line, "--set", "loop.num_envs=2")
    assert "write each setting once, as NAME=VALUE" in refused(capfd, *line, "--set", "cost_limit")


def test_variants_of_a_sweep_are_told_apart(run, tmp_path):
    folder = Path(shutil.copytree(run, tmp_path / "a"))
    assert policy_of(folder).label == "dreamerv3"
    (folder / "sweep.json").write_text('{"suites": [], "tags": [], "variant": "a half, twice"}')
    policy = policy_of(folder)
    assert policy.label == "dreamerv3 [a half, twice]"
    label = with_settings(policy, {"cost_limit": 3}).label
    assert label == "dreamerv3 [a half, twice, cost_limit=3.0]"
    (folder / "sweep.json").write_text('{"variant": ""}')
    assert policy_of(folder).label == "dreamerv3"


def records_about(folder: Path) -> dict[str, Any]:
    return read_object(folder / "stress.json")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--only", "image_blur"], "image_blur needs pictures, which dreamerv3 on .* lacks; it can "
                                   "have sensor_noise, .*_weak_side, cost_delay, latent_noise"),
        (["--only", "mas"], "unknown perturbation 'mas'; did you mean mass"),
        (["--only", "mass"], "mass needs a simulator of Safety-Gymnasium"),
        (["--only", "action_gain", "--strengths", "0"], "strength 0 must be positive"),
        (["--only", "action_noise", "--strengths", "inf"], "inf must be a number from 0"),
        (["--only", "sensor_delay", "--strengths", "1.5"], "sensor_delay.*1.5 must be whole"),
        (["--only", "action_gain", "--strengths", "2"], "action_gain.*2 must be at most 1"),
        (["--only", OWN], "has no usual strengths: give --strengths"),
        (["--only", f"{__name__}:Refusing", "--strengths", "1"], "there is no moon here"),
        (["--only", f"{__name__}:wider", "--strengths", "1"], "cannot act on .* and that has"),
        (["--only", "no_module:X", "--strengths", "1"], "no module 'no_module'"),
        (["--only", f"{__name__}:SHORE", "--strengths", "1"],
         r"factory\(env, strength\) \('tests.* is not a callable object\)"),
        (["--only", f"{__name__}:alone", "--strengths", "1"],
         r"must name a class or function that is called as factory\(env, strength\) \(too many"),
        (["--only", f"{__name__}:nothing", "--strengths", "1"],
         "must return a gymnasium.Env around the one that it is called with, not NoneType"),
        (["--suite", "robust"], "unknown suite .*robustness"),
        (["--suite", "none.yaml"], "suite none.yaml cannot be read"),
        (["--episodes", "0"], "episodes=0 must be at least 1"),
        (["--suite", "transfer", "--only", "mass"], "go with perturbations, not with transfer"),
        (["--tasks", SHORE], "--tasks goes with --suite transfer"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(run, tmp_path, capfd, args, message):
    line = refused(capfd, run, *args, "--out", tmp_path / "out")
    assert re.search(message, line), line
    assert not (tmp_path / "out" / "stress.csv").exists()


def test_a_folder_serves_one_stress_test_at_a_time(run, tmp_path, undrawn, capfd):
    line = ["stress", str(run), "--only", "action_gain", "--episodes", "1", "--out", str(tmp_path)]
    with (tmp_path / "stress.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is in use by another stress: choose another --out" in refused(capfd, *line[1:])
        assert [path.name for path in tmp_path.iterdir()] == ["stress.lock"]
    assert not undrawn


def test_the_lock_is_held_until_the_figures_are_drawn(run, tmp_path, monkeypatch, capfd):
    line = ["stress", str(run), "--only", "action_gain", "--episodes", "1", "--out", str(tmp_path)]
    monkeypatch.setattr(stress, "play_plan", lambda *_: None)
    monkeypatch.setattr(analysis, "run", lambda *_: app.main(line))
    assert app.main(line) == 2
    assert "is in use by another stress" in capfd.readouterr().err
    monkeypatch.setattr(analysis, "run", lambda *_: 0)
    assert app.main(line) == 0  # released


def test_a_file_system_without_locks_is_named(run, tmp_path, monkeypatch, undrawn, capfd):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(stress, "play_plan", lambda *_: None)
    assert app.main(["stress", str(run), "--only", "action_gain", "--out", str(tmp_path)]) == 0
    assert "cannot be locked (No locks available): run one" in capfd.readouterr().err


def test_damaged_records_are_refused_with_their_line(run, tmp_path, capfd):
    (tmp_path / "stress.csv").write_text(",".join(records.STRESS_COLUMNS) + "\na,b\n")
    assert "line 2" in refused(capfd, run, "--only", "action_gain", "--out", tmp_path)


def test_a_dry_run_plays_nothing(run, tmp_path, capfd):
    assert app.main(["stress", str(run), "--dry-run", "--out", str(tmp_path / "o")]) == 0
    shown = capfd.readouterr().out
    assert "sensor_noise       0.05 0.1 0.3" in shown
    assert "image_blur         left out: it needs pictures" in shown
    assert not (tmp_path / "o").exists()


def test_suites():
    for name in ("circle", "goal", "vision"):
        of_a_task = suite.load(name)
        assert len(of_a_task.perturbations) == 10 and of_a_task.strict
        assert {
            len(strengths) for kind, strengths in of_a_task.perturbations if kind.name != "level"
        } == {3}
    assert set(SUITES["robustness"]) & set(SUITES["model"]) == set()
    assert set(SUITES["robustness"]) | set(SUITES["model"]) == set(PERTURBATIONS)
    mine = suite.parse("perturbations: {mass: , gear: [0.1]}\nepisodes: 3\nseed: 4", "x", "x.yaml")
    assert [strengths for _, strengths in mine.perturbations] == [(0.25, 0.5, 1), (0.1,)]
    assert (mine.episodes, mine.seed) == (3, 4)
    for text, message in (
        ("perturbations:\n  mas: [1]", r"x.yaml:2: unknown perturbation 'mas'; did you mean mass"),
        ("perturbations:\n  mass: [0]", r"x.yaml:2: mass: strength 0 must be positive"),
        ("perturbations: {a:b: }", r"x.yaml:1: a:b needs a list"),
        ("episodes: 3", r"x.yaml:1: a suite needs perturbations"),
    ):
        with pytest.raises(BadInput, match=message):
            suite.parse(text, "x", "x.yaml")


def test_every_suite_is_listed():
    assert {"robustness", "model", "transfer", "circle", "goal", "vision"} <= set(suite.names())


def on_goal(tmp_path: Path) -> Policy:
    folder = tmp_path / "goal"
    untrained_run(folder, "dreamerv3", task="SafetyPointGoal1-v0", obs="lidar")
    return policy_of(folder)


@pytest.mark.slow
def test_transfer_to_tasks_of_the_same_shapes(tmp_path):
    policy = on_goal(tmp_path)
    assert set(SUITES["robustness"]) > {"lidar_ghosts", "hazard_number", "level"}
    names = {cell.perturbation.name for cell in
             perturbed(policy, suite.load("robustness")).cells}  # fmt: skip
    assert {"lidar_ghosts", "hazard_number", "level", "mass"} <= names
    assert {"image_blur", "wall_distance", "friction"} & names == set()
    tasks = ["SafetyPointGoal1-v0", "SafetyPointGoal2-v0", "SafetyPointCircle1-v0", SHORE]
    plan = transferred(policy, tasks)
    assert [cell.task for cell in plan.cells] == ["", "SafetyPointGoal2-v0"]
    why = plan.left_out["SafetyPointCircle1-v0"]
    assert "was trained on observations observation [60] with 2 actions, and that has" in why
    assert "has no observation 'lidar'" in plan.left_out[SHORE]
    make = factory(policy, Cell(PERTURBATIONS["level"], 1.0))
    assert make.task == "SafetyPointGoal2-v0"
    assert factory(policy, plan.cells[1]).task == "SafetyPointGoal2-v0"
    assert higher(get_task("SafetyPointGoal2-v0"), 1) is None


@pytest.mark.slow
def test_training_starts_from_the_learner_of_another_run(tmp_path, run):
    line = ["--method", "dreamerv3", "--task", SHORE, "--preset", "debug", "--seed", "1"]
    _, spec = train.read([*line, "--init-from", str(run)])
    assert spec.init_sha256 == checkpoint.fingerprint(policy_of(run).trained.source)
    env_spec = environment(spec)[1]
    started = initial_state(spec, env_spec)
    saved = agent_for(spec, env_spec).init(0)  # the parameters of `run`
    for mine, theirs in zip(jax.tree.leaves(started), jax.tree.leaves(saved), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    _, other = train.read([*line, "--init-from", str(run), "--model.deter", "24"])
    with pytest.raises(BadInput, match=r"has other shapes than this run: saved .*float32\[32"):
        initial_state(other, env_spec)
    with pytest.raises(BadInput, match="trained with dreamerv3, whose parameters are not those"):
        _, other = train.read(["--method", "lambda", *line[2:], "--init-from", str(run)])
        initial_state(other, env_spec)
