"""What a sweep command prints before it starts anything.

Hours from measured rates, memory and disk from real sizes.
"""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import pytest

from agents.api import ArraySpec, EnvSpec
from benchmarks.cli import app
from benchmarks.methods import METHODS, settings
from benchmarks.runs.errors import BadInput
from benchmarks.suites.reading import parse
from benchmarks.suites.suite import expand
from benchmarks.sweep import gpu_hours
from benchmarks.sweep.members import look_for
from benchmarks.sweep.needs import (
    LEARNER_COPIES,
    PROCESS_BYTES,
    TEXTURE_BYTES,
    UPDATE_COPIES,
    WORKER_BYTES,
    Estimate,
    Needs,
)
from benchmarks.sweep.plan import make_plan
from benchmarks.sweep.preview import needs_of, preview
from benchmarks.sweep.rates import TAIL_BYTES, Rates, last_row
from benchmarks.sweep.text import amount, columns, duration
from slurm import cli
from tests.specs import spec_of
from tests.sweep_folders import entries, stand, submit, suite

ENV = EnvSpec(
    {"observation": ArraySpec((3,), "float32")}, action_dim=2, action_repeat=2, episode_env_steps=20
)


def write_metrics(folder, *rows):
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_rates_are_medians_of_runs_alike(tmp_path):
    folders = submit(tmp_path, suite())
    osrp = entries(suite())[0]
    assert Rates(look_for(tmp_path).members)(osrp) is None
    for folder, seconds in zip(folders[:3], (10.0, 20.0, 40.0), strict=True):
        write_metrics(
            folder,
            {"env_steps": 99, "updates": 1, "wall_seconds": 1.0},
            {"env_steps": 200, "updates": 9, "wall_seconds": seconds},
        )
    # random actions only
    write_metrics(folders[3], {"env_steps": 99, "updates": 0, "wall_seconds": 1.0})
    rates = Rates(look_for(tmp_path).members)
    assert rates(osrp) == 10.0
    assert rates.hours(osrp, env_steps=240) == pytest.approx(360 / 10 / 3600)
    assert rates(entries(suite())[3]) is None


def test_other_variants_of_a_method_give_a_marked_estimate(tmp_path):
    block = "{methods: [osrp, dreamerv3], tasks: ['tests.fakes.toys:shore'], variants: VARIANTS}"
    text = f"{{preset: debug, seeds: [0], steps: 600, runs: [{block}]}}"
    narrow = parse(text.replace("VARIANTS", "{narrow: {cost_limit: 3}}"), "mine", "mine.yaml")
    wide = parse(text.replace("VARIANTS", "{wide: {cost_limit: 4}}"), "mine", "mine.yaml")
    osrp, _ = submit(tmp_path, narrow)
    write_metrics(osrp, {"env_steps": 200, "updates": 9, "wall_seconds": 7200.0})
    there = look_for(tmp_path).members
    rates = Rates(there)
    same, other = entries(narrow)[0], entries(wide)[0]
    assert rates.hours(same, 0) == pytest.approx(6.0)
    assert rates(other) is None and rates.hours(other, 0) is None
    assert rates.hours(other, 0, any_variant=True) == pytest.approx(6.0)

    plan = make_plan("mine", entries(wide), there)
    needs = {entry.spec.run_id: Needs(1, 1) for entry in entries(wide)}
    lines = preview(wide, entries(wide), plan, rates, needs, tmp_path)
    assert lines[2].endswith("  ~6.0") and lines[3].endswith("  unknown")
    assert lines[5] == (
        "time: ~ 6.0 hours of 1 runs, at the rates of other variants of their methods; "
        "1 of 2 runs have no measured rate of their kind in this folder yet"
    )


def test_the_last_whole_row_is_read(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert last_row(path) is None
    path.write_text('{"a": 1}\n{"b": "' + "x" * TAIL_BYTES + '"}\n{"c": 3}\n{"d"')
    assert last_row(path) == {"c": 3}


def test_needs_are_those_of_replay_and_learner():
    # debug: 2 environments, 5 simulator steps per agent step; each transition may need two rows
    spec = spec_of("osrp", "lidar", steps=4000)
    row = 3 * 4 + 2 * 4 + 2 * 4 + 3
    need = Estimate(lambda *_: ENV)(spec)
    learner = (need.memory - PROCESS_BYTES - 2 * WORKER_BYTES - 1600 * row) / LEARNER_COPIES
    import jax

    from benchmarks.methods import method

    state = method("osrp").agent(spec.agent, ENV).init(0)
    assert learner == sum(leaf.nbytes for leaf in jax.tree.leaves(state))
    assert need.disk == 800 * row + 3 * learner


def test_an_evaluation_has_at_most_sixteen_environments_at_once():
    spec = spec_of("osrp", "coordinates")  # images count, whatever the observation is called
    seen = dataclasses.replace(ENV, obs={"camera": ArraySpec((64, 64, 3), "uint8")})
    estimate = Estimate(lambda *_: seen)
    memory = [
        estimate(dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, **changes))).memory
        for episodes in (4, 16, 100)
        for changes in [{"eval_episodes": episodes, "env_workers": "process"}]
    ]
    assert memory[1] - memory[0] == 12 * (WORKER_BYTES + TEXTURE_BYTES)
    assert memory[2] == memory[1]


def test_updates_from_images_need_memory_and_environments_of_one_process_share_their_textures():
    images = spec_of("osrp", "vision")
    seen = dataclasses.replace(ENV, obs={"camera": ArraySpec((64, 64, 3), "uint8")})
    estimate, batch = Estimate(lambda *_: seen), images.loop.batch_size * images.loop.batch_length

    def memory(**changes) -> int:
        return estimate(
            dataclasses.replace(images, loop=dataclasses.replace(images.loop, **changes))
        ).memory

    double = memory(batch_size=2 * images.loop.batch_size) - memory()
    assert double == UPDATE_COPIES * batch * 64 * 64 * 3 * 4
    inline = memory(env_workers="inline"), memory(env_workers="inline", num_envs=4)
    assert inline[0] == inline[1] < memory(env_workers="process")


def test_disk_is_needed_for_no_more_runs_than_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(cli.shutil, "disk_usage", lambda _: SimpleNamespace(free=25))
    needs = [Needs(memory=1, disk=10)] * 2
    cli._check_room(cli.SweepArgs("mine", jobs=8), tmp_path, needs, 100)
    with pytest.raises(BadInput, match="need up to 30 B of disk"):
        cli._check_room(cli.SweepArgs("mine", jobs=8), tmp_path, [*needs, needs[0]], 100)


def test_runs_that_differ_by_seed_are_estimated_once(tmp_path):
    wanted = suite(", ".join(map(str, range(300))))
    plan, asked = make_plan("mine", entries(wanted), []), []

    def estimate(spec):
        asked.append(spec)
        return Needs(memory=len(asked), disk=0)

    needs = needs_of(plan.start, estimate)
    assert [spec.method for spec in asked] == ["osrp", "dreamerv3"]
    assert set(needs) == {entry.spec.run_id for entry in entries(wanted)} and len(needs) == 600
    of_osrp = {
        needs[start.entry.spec.run_id] for start in plan.start if "osrp" in start.entry.label
    }
    assert of_osrp == {Needs(memory=1, disk=0)}


def test_the_preview_says_what_will_happen(tmp_path):
    folders = submit(tmp_path, suite())
    stand(folders[0], "finished", env_steps=600)
    write_metrics(folders[0], {"env_steps": 600, "updates": 9, "wall_seconds": 600 / 3600})
    wanted = suite("0, 1, 7")
    there = look_for(tmp_path).members
    plan = make_plan("mine", entries(wanted), there)
    needs = needs_of(plan.start, Estimate(lambda *_: ENV))
    lines = preview(wanted, entries(wanted), plan, Rates(there), needs, tmp_path)
    assert lines[0].startswith("suite mine: 6 runs (3 waiting, 2 new, 1 done)")
    table = [line.split("  ") for line in lines[1:4]]
    assert [[cell.strip() for cell in row if cell.strip()] for row in table] == [
        ["method", "task", "obs", "steps", "seeds", "to start", "hours"],
        ["osrp", "tests.fakes.toys:shore", "default", "600", "1 7", "1 waiting, 1 new", "0.0"],
        [
            "dreamerv3",
            "tests.fakes.toys:shore",
            "default",
            "600",
            "0 1 7",
            "2 waiting, 1 new",
            "unknown",
        ],
    ]
    assert "3 of 5 runs have no measured rate" in lines[5]
    assert lines[6].startswith("memory: 1.7 GB") and lines[7].startswith("disk: ")
    assert {line.split(": ")[1] for line in lines[8:]} == {folders[2].name, folders[5].name}


def test_the_preview_warns_once_of_what_a_method_says_of_its_runs(tmp_path, monkeypatch):
    warned = dataclasses.replace(METHODS["osrp"], warnings=lambda spec: ["it NEVER starts"])
    monkeypatch.setitem(METHODS, "osrp", warned)
    wanted = suite("0, 1")
    plan = make_plan("mine", entries(wanted), [])
    needs = {entry.spec.run_id: Needs(1, 1) for entry in entries(wanted)}
    lines = preview(wanted, entries(wanted), plan, Rates([]), needs, tmp_path)
    assert [line for line in lines if "warning" in line] == ["warning: it NEVER starts"]


def test_gpu_runs_without_a_measured_rate_are_estimated_and_marked(tmp_path):
    runs = "[{methods: [osrp_lag], tasks: [SafetyPointGoal1-v0]}]"
    wanted = parse(f"{{preset: release, seeds: [0, 1], runs: {runs}}}", "mine", "mine.yaml")
    found = expand(wanted, lambda method, task, obs, preset: settings(method, obs, preset))
    plan = make_plan("mine", found, [])
    needs = {entry.spec.run_id: Needs(1, 1) for entry in found}
    each = gpu_hours.hours(found[0].spec)
    assert each is not None and 1 < each < 20
    lines = preview(wanted, found, plan, Rates([]), needs, tmp_path)
    assert lines[2].endswith(f"~{2 * each:.1f}")
    assert lines[4].startswith("time: unknown; 2 of 2 runs have no measured rate")
    assert lines[5].startswith(f"~ {2 * each:.0f} GPU-hours for 2 of these, estimated for one")


def test_a_dry_run_writes_nothing(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "{preset: debug, seeds: [0], runs: [{methods: [osrp], tasks: [SafetyPointGoal1-v0], "
        "obs: coordinates}]}"
    )
    assert (
        app.main(["sweep", "--suite", str(file), "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    )
    shown = capsys.readouterr().out
    assert "suite mine: 1 runs (1 new)" in shown and "SafetyPointGoal1-v0" in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.yaml"]


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["--suite", "paper21"], "did you mean paper20"),
        (["--suite", "demo", "--jobs", "0"], "jobs=0 must be at least 1"),
        (["--suite", "demo", "--memory-gb", "0"], "memory_gb=0.0 must be positive"),
        (
            ["--suite", "demo", "--memory-gb", "0.1"],
            "a run needs .* of memory and 100.0 MB are free",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_written(
    args, expected, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert app.main(["sweep", *args]) == 2
    import re

    assert re.search(expected, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_text_for_people():
    assert columns(("a", "b"), [("xx", "y")]) == ["a   b", "xx  y"]
    assert [amount(x) for x in (12, 24.6e9, 3e18)] == ["12 B", "24.6 GB", "3000.0 PB"]
    assert [duration(x) for x in (59, 3600, 5400, 93784)] == ["1m", "1h 00m", "1h 30m", "1d 2h"]
