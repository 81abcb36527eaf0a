"""The command as a user runs it.

Help, one-line errors with exit status 2, and one small run from training to plot.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.cli import app, train
from benchmarks.cli.evaluate import tasks_named
from benchmarks.runs.errors import BadInput
from benchmarks.runs.records import read_records
from tests.tree import ROOT

TOY = ["--task", "tests.fakes.toys:shore", "--method", "dreamerv3", "--preset", "debug"]


def safedreamer(*args: object, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run the command in a separate process."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "benchmarks.cli", *map(str, args)]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False
    )


def refused(capfd: pytest.CaptureFixture[str], *args: object) -> str:
    """Return the one-line error of a command that is refused."""
    assert app.main(list(map(str, args))) == 2
    out, err = capfd.readouterr()
    assert out == "" and err.startswith("safedreamer: error: ") and err.count("\n") == 1, (out, err)
    return err


def test_help_lists_every_command(capfd):
    assert app.main(["--help"]) == 0
    assert set(app.COMMANDS) <= set(re.findall(r"^  (\w+) ", capfd.readouterr().out, re.MULTILINE))


def test_help_of_train_shows_every_setting_with_the_presets_default(capfd):
    from benchmarks.methods import settings
    from benchmarks.runs.identity import flatten

    def options(method: str, preset: str) -> dict[str, str]:
        with pytest.raises(SystemExit):
            app.main(
                [
                    *("train", "--method", method, "--preset", preset, "--obs", "coordinates"),
                    "--help-all",
                ]
            )
        text = re.sub(r"[│\s]+", " ", capfd.readouterr().out)
        return dict(re.findall(r"--([a-z][\w.-]*) (?:(?!--[a-z]).)*?\(default: ([^)]*)\)", text))

    import dataclasses

    for method, preset in (("osrp", "release"), ("bsrp_lag", "cpu")):
        shown, chosen = options(method, preset), settings(method, "coordinates", preset)
        expected = {f"loop.{k}": v for k, v in dataclasses.asdict(chosen.loop).items()} | flatten(
            dataclasses.asdict(chosen.agent)
        )
        for name, value in expected.items():
            if value == "" or isinstance(value, bool):
                continue
            given = shown[name.replace("_", "-")]
            assert given == str(value) or float(given) == float(value), name
        assert shown["steps"] == str(chosen.steps)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["trian"], "unknown command 'trian'; did you mean train, run?"),
        (["train", "--method", "osrp-lag"], "unknown method 'osrp-lag'; did you mean osrp_lag"),
        (["train", "--task", "SafetyPointGaol1-v0"], "did you mean SafetyPointGoal1-v0"),
        (["train", "--obs", "visoin"], "did you mean vision?"),
        (
            ["train", "--task", "SafetyHopperVelocity-v1", "--obs", "coordinates"],
            "offers lidar, default",
        ),
        (
            ["train", "--preset", "fast"],
            "unknown preset of osrp_lag 'fast'; valid: release, cpu, debug",
        ),
        (
            ["train", "--planner.horizn", "3"],
            "unknown setting --planner.horizn; did you mean --planner.horizon",
        ),
        (["train", "--horizon", "3"], "did you mean --planner.horizon or --imagination.horizon?"),
        (
            ["train", "--planner.elites", "501"],
            "planner.elites=501 must lie in 1..planner.candidates=500",
        ),
        (["train", "--planner.horizon", "0"], "planner.horizon=0 must be at least 1"),
        (["train", "--cost_limit", "-1"], "cost_limit=-1.0 must not be negative"),
        (["train", "--steps", "2.5"], "'2.5' is not a whole number"),
        (["train", "--steps", "0"], "steps=0 must be positive"),
        (["train", "--seed", "-1"], "seed=-1 must not be negative"),
        (["train", "--max-minutes", "0"], "max_minutes=0.0 must be positive"),
        (["train", "--loop.num-envs", "0"], "loop.num_envs=0 must be at least 1"),
        (["train", "--loop.prefill", "9"], "loop.prefill=9 must be at least"),
        (["train", "--replay.capacity", "10"], "replay.capacity=10 must be at least"),
        (["train", "--dtype", "float17"], "invalid choice 'float17'"),
        (["train", "--init-from", "nowhere.ckpt"], "nowhere.ckpt: no such file"),
        (["train", "--method", "sac", "--init-from", "README.md"], "not for sac"),
        (["train", "extra"], "unexpected argument 'extra'"),
        (["evaluate"], "give either a run folder or --official FILE"),
        (["evaluate", "x", "--video-fps", "9"], "--video-fps goes with --video: add it"),
        (["evaluate", "x", "--stills", "2", "--video-fps", "9"], "--video-fps goes with --video:"),
        (["evaluate", "x", "--video-episodes", "2"], "goes with --video or --stills: add it"),
        (["evaluate", "x", "--dream-context", "2"], "goes with --video or --stills: add it"),
        (["evaluate", "x", "--dream-steps", "2"], "goes with --video or --stills: add it"),
        (["evaluate", "nowhere"], "nowhere is not a run folder: there is no such folder"),
        (["evaluate", "s3://bucket/mine"], "write hub:s3://bucket/mine"),
        (["evaluate", "--official", "nowhere.ckpt"], "--official needs --task"),
        (
            ["evaluate", "--official", "nowhere.ckpt", "--task", "SafetyPointGoal1-v0"],
            "no such file",
        ),
        (
            [
                *("evaluate", "--official", "README.md", "--method", "sac"),
                *("--task", "SafetyPointGoal1-v0", "--obs", "lidar"),
            ],
            "README.md: checkpoints of SafeDreamer's authors are for its methods",
        ),
        (
            ["evaluate", "zoo:bsrp_lag/PointCircle1/0", "--video", "--out", "result"],
            "--out result: a name with a suffix, such as result.csv",
        ),
        (["evaluate", "nowhere", "--episodes", "0"], "episodes=0 must be at least 1"),
        (["diagnose", "nowhere"], "nowhere is not a run folder"),
        (["diagnose", "hub:mine"], "`safedreamer pull TARGET DIR` makes a folder"),
        (["diagnose", "nowhere", "--stride", "0"], "stride=0 must be at least 1"),
        (["diagnose", "nowhere", "--actions", "none"], "invalid choice 'none'"),
        (["plot", "nowhere", "--out", "x"], "no folder nowhere"),
        (["tables", "nowhere", "--out", "x"], "no folder nowhere"),
        (["compare", "nowhere", "osrp", "cem"], "no folder nowhere"),
        (["tasks", "core6"], "did you mean core5"),
        (["demo", "--minutes", "0"], "minutes=0.0 must exceed"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_mistakes_get_one_line_and_status_2(args, expected, capfd):
    assert expected in refused(capfd, *args)


def test_nested_settings_in_both_spellings_and_scientific_numbers():
    run, spec = train.read(
        "--method osrp_lag --task SafetyPointGoal1-v0 --obs vision --seed 3 --steps 2e6 "
        "--planner.horizon 20 --model.deter=128 --cost_limit 4 --loop.num_envs 2 "
        "--loop.checkpoint-every 1e5 --replay.capacity 1_000".split()
    )
    assert (spec.steps, spec.seed, spec.obs, spec.preset) == (2_000_000, 3, "vision", "release")
    assert (spec.agent.planner.horizon, spec.agent.model.deter, spec.agent.cost_limit) == (
        20,
        128,
        4.0,
    )
    assert (spec.loop.num_envs, spec.loop.checkpoint_every, spec.replay.capacity) == (
        2,
        100_000,
        1000,
    )
    assert (
        train.default_out(spec) == Path("runs/SafetyPointGoal1-v0-vision-osrp_lag-seed3")
        and run.out is None
    )


def test_the_observation_is_the_published_one_unless_given():
    assert train.read(["--task", "SafetyCarPush2-v0"])[1].obs == "vision"
    assert train.read(["--task", "SafetyHopperVelocity-v1"])[1].obs == "lidar"


TASKS_BY_COST = {
    "SafetyPointGoal0-v0": "the observation holds no hazard positions",
    "SafetyPointGoal1-v0": None,
    "SafetyPointGoal2-v0": "vases cost too",
    "SafetyPointButton1-v0": "buttons and gremlins cost too",
}


def test_the_cpu_preset_knows_how_large_a_tasks_hazards_are():
    command = ["--obs", "coordinates", "--method", "osrp", "--preset", "cpu", "--task"]
    assert train.read([*command, "SafetyCarPush1-v0"])[
        1
    ].agent.model.hazard_radius == pytest.approx(0.3)


@pytest.mark.parametrize(("task", "lack"), TASKS_BY_COST.items())
def test_geometric_costs_are_for_tasks_where_hazards_alone_cost(task, lack, tmp_path, monkeypatch):
    """OSRP's release preset uses them where they fit; `cpu` learns costs.

    Requesting geometric costs where they do not fit is refused at once.
    """
    from benchmarks.training import launch as run

    monkeypatch.setattr(run, "train", lambda *_: "started")
    command = ["--task", task, "--obs", "coordinates", "--method", "osrp"]
    for preset in ("release", "cpu"):
        chosen = train.read([*command, "--preset", preset])[1]
        assert chosen.agent.model.cost_source == (
            "geometry" if preset == "release" and not lack else "head"
        )
    assert lack or chosen.agent.model.hazard_radius == 0.2
    assert run.launch(chosen, tmp_path / "run") == "started"
    _, spec = train.read([*command, "--preset", "debug", "--model.cost-source", "geometry"])
    if lack is None:
        assert run.launch(spec, tmp_path / "run") == "started"
    else:
        with pytest.raises(BadInput, match=f"{lack}: use --model.cost-source head"):
            run.launch(spec, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_costs_that_do_not_fit_the_task_get_one_line_and_status_2(tmp_path):
    task = [
        "--task",
        "SafetyPointGoal2-v0",
        "--obs",
        "coordinates",
        "--method",
        "osrp",
        "--preset",
        "debug",
    ]
    done = safedreamer("train", *task, "--model.cost-source", "geometry", "--out", tmp_path / "run")
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []
    assert re.fullmatch(r"safedreamer: error: [^\n]*use --model.cost-source head\n", done.stderr)


def test_a_folder_of_another_configuration_is_refused_with_the_difference(tmp_path, capfd):
    from benchmarks.runs.folder import claim

    _, spec = train.read([*TOY, "--planner.horizon", "3"])
    with claim(spec, tmp_path / "run"):
        (tmp_path / "run" / "checkpoints" / "000000000100").mkdir(parents=True)
    line = refused(capfd, "train", *TOY, "--out", tmp_path / "run")
    assert "agent.planner.horizon: there 3, here 4" in line


def test_fewer_steps_than_a_run_has_reached_are_refused(tmp_path, capfd):
    from benchmarks.runs.folder import claim

    out = tmp_path / "run"
    spec = train.read([*TOY, "--steps", "1000"])[1]
    with claim(spec, out):
        (out / "checkpoints" / "000000000760").mkdir(parents=True)
    before = (out / "spec.json").read_bytes()
    line = refused(capfd, "train", *TOY, "--out", out, "--steps", "100")
    assert f"{out} is at 760 of 1000 simulator steps, beyond --steps 100" in line
    assert "--steps 1000 to continue it" in line and (out / "spec.json").read_bytes() == before
    for steps in (760, 800, 1000, 2000):
        train._check_steps(dataclasses.replace(spec, steps=steps), out)
    (out / "checkpoints" / "000000000760").rename(out / "checkpoints" / "000000001002")
    train._check_steps(spec, out)  # it passed its budget with its last step
    train._check_steps(spec, tmp_path / "new")


def test_a_run_continues_whatever_became_of_what_it_started_from(tmp_path):
    from benchmarks.runs.folder import claim

    source, out = tmp_path / "theirs.ckpt", tmp_path / "run"
    source.write_bytes(b"parameters")
    line = [*TOY, "--init-from", str(source), "--out", str(out)]
    spec = train.read(line)[1]
    with claim(spec, out):
        pass
    source.write_bytes(b"other parameters")
    assert train.read(line)[1] != spec  # it has no checkpoint yet
    (out / "checkpoints" / "000000000100").mkdir(parents=True)
    assert train.read(line)[1] == spec
    source.unlink()
    assert train.read(line)[1] == spec
    with pytest.raises(BadInput, match="no such file or run folder"):
        train.read([*line[:-1], str(tmp_path / "new")])
    with pytest.raises(BadInput, match="no such file or run folder"):
        train.read([*TOY, "--init-from", str(tmp_path / "other.ckpt"), "--out", str(out)])


def test_a_folder_in_use_is_refused(tmp_path):
    from benchmarks.runs.folder import claim

    _, spec = train.read(TOY)
    with (
        claim(spec, tmp_path / "run"),
        pytest.raises(BadInput, match=rf"is in use: process {os.getpid()} on .* is training there"),
        claim(spec, tmp_path / "run"),
    ):
        pytest.fail("two processes may train in one folder")


def test_tasks_named_in_the_path_of_a_checkpoint():
    assert tasks_named(Path("ckpt/SafetyPointGoal1-v0_bsrp/checkpoint.ckpt")) == [
        "SafetyPointGoal1-v0"
    ]
    assert tasks_named(Path("ckpt/bsrp_safetycarbutton2/checkpoint.ckpt")) == [
        "SafetyCarButton2-v0"
    ]
    # not CarPush1
    assert tasks_named(Path("ckpt/racecarpush1/checkpoint.ckpt")) == ["SafetyRacecarPush1-v0"]
    assert tasks_named(Path("ckpt/checkpoint.ckpt")) == []


@pytest.mark.parametrize("name", ["config.json", "config.yaml"])
def test_the_configuration_beside_a_checkpoint_knows_better_than_its_path(tmp_path, name):
    folder = tmp_path / "PointGoal2"
    folder.mkdir()
    text = (
        '{"seed": 1,\n "task": "safetygym_SafetyCarGoal1-v0"}'
        if name == "config.json"
        else "seed: 1\ntask: safetygym_SafetyCarGoal1-v0\n"
    )
    (folder / name).write_text(text)
    assert tasks_named(folder / "checkpoint.ckpt") == ["SafetyCarGoal1-v0"]


def test_an_authors_checkpoint_is_refused_on_another_task_or_observation(recordings, capfd):
    file = recordings / "small_vector" / "official.ckpt"
    args = ["evaluate", "--official", file, "--stoch", 4, "--out", "unused.csv"]
    line = refused(capfd, *args, "--task", "SafetyCarGoal1-v0", "--obs", "coordinates")
    assert "was trained on SafetyPointGoal1-v0" in line and "--force" in line
    line = refused(capfd, *args, "--task", "SafetyPointGoal1-v0", "--obs", "lidar")
    assert "official.ckpt: " in line


@pytest.mark.slow
def test_an_environment_without_cost_is_refused_with_what_to_add(tmp_path):
    done = safedreamer(
        "train", *TOY[2:], "--task", "tests.fakes.toys:costless", "--out", tmp_path / "run"
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert 'info["cost"]' in done.stderr and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_train_continue_evaluate_and_plot(tmp_path, capfd):
    out = tmp_path / "run"
    train_args = [
        "train",
        *TOY,
        "--out",
        out,
        "--loop.env-workers",
        "inline",
        "--loop.eval-episodes",
        3,
        "--tensorboard",
    ]
    first = safedreamer(*train_args, "--steps", 400)
    assert first.returncode == 0, first.stderr
    assert "400/400 sim steps" in first.stdout and "finished at 400 simulator steps" in first.stdout
    files = {path.name for path in out.iterdir()}
    assert {"spec.json", "episodes.csv", "metrics.jsonl", "checkpoints", "tensorboard"} <= files

    second = safedreamer(*train_args, "--steps", "5e2")
    assert second.returncode == 0, second.stderr
    frame = read_records(out)
    assert frame["env_steps"].max() == 500 and set(frame["split"]) == {"train", "eval"}
    assert list(frame.query("split == 'train'")["episode"]) == list(
        range((frame["split"] == "train").sum())
    )

    evaluate = ["evaluate", str(out)]
    assert app.main([*evaluate, "--episodes", "3", "--workers", "process"]) == 0
    shown = capfd.readouterr().out
    rows = read_records(out / "evaluation-tests.fakes.toys-shore-default-500-episodes3.csv")
    assert (
        list(rows["episode"]) == [0, 1, 2]
        and set(rows["env_steps"]) == {500}
        and (rows["length"] == 20).all()
    )
    assert f"{rows['return'].mean():.2f}" in shown
    # the same layouts and the same key as at the end of training give the same episodes
    assert list(rows["return"]) == list(frame.query("split == 'eval'")["return"].iloc[-3:])

    task = ("--task", "SafetyPointGoal1-v0", "--obs", "coordinates")
    assert (
        "was trained on tests.fakes.toys:shore (default), not on SafetyPointGoal1-v0 "
        "(coordinates); --force"
    ) in refused(capfd, *evaluate, *task)

    diagnose = ["diagnose", str(out), "--episodes", "2"]
    assert app.main(diagnose) == 2
    assert "fewer than a window of context 20 + horizon 15" in capfd.readouterr().err
    assert app.main([*diagnose, "--context", "3", "--horizon", "2"]) == 0
    name = "diagnosis-500-episodes2-context3-horizon2"
    assert "cost precision" in capfd.readouterr().out and (
        out / f"{name}.csv"
    ).read_text().startswith("quantity,predictor,steps_ahead,bin_low,env_steps,value")
    assert all((out / f"{name}.{suffix}").stat().st_size > 5000 for suffix in ("png", "pdf"))

    assert app.main(["plot", str(out), "--out", str(tmp_path / "figures")]) == 0
    assert (tmp_path / "figures" / "curves.png").stat().st_size > 5000


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["nonsense", "cuda"])
def test_a_platform_that_jax_lacks_is_one_line(tmp_path, monkeypatch, platform):
    if platform == "cuda" and importlib.util.find_spec("jax_cuda12_plugin"):
        pytest.skip("the plugin is there")
    monkeypatch.setenv("JAX_PLATFORMS", platform)
    done = safedreamer("train", *TOY, "--out", tmp_path / "run")
    assert done.returncode == 2 and re.fullmatch(
        rf"safedreamer: error: [^\n]*unset JAX_PLATFORMS={platform}[^\n]*\n", done.stderr
    ), done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["random", "numpy", "json"])
def test_modules_of_the_current_folder_replace_none_of_the_libraries(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')\n")
    script = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from benchmarks.cli.app import entry; "
        "entry()"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words in (["tables", "nowhere", "--out", "x"], ["tasks"]):
        command = [sys.executable, "-P", "-c", script, *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert "executed" not in done.stdout + done.stderr, done.stderr
        assert done.returncode == (2 if words[0] == "tables" else 0), done.stderr
