"""The zoo: a policy stored in half its bytes acts as before; what does not fit is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from benchmarks.api.policies import load_agent
from benchmarks.cli import analysis, evaluate, stress
from benchmarks.cli.playing import Policy
from benchmarks.cli.publish import final_evaluation, forget_place, publish_policy
from benchmarks.methods import method
from benchmarks.methods.saved import newest
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import FINAL_FILE, SPEC_FILE, STATUS_FILE, SWEEP_FILE
from benchmarks.runs.folder import variant_of
from benchmarks.runs.policy_file import TOLERANCE, write_policy
from benchmarks.runs.reading import DamagedFile
from benchmarks.runs.records import FINAL, read_records
from benchmarks.runs.spec import to_dict
from benchmarks.sharing.contents import gather
from benchmarks.sweep.members import member
from benchmarks.training.launch import environment, trained_agent
from benchmarks.zoo import adding, entry, states
from benchmarks.zoo.adding import add
from benchmarks.zoo.card import mean_interval
from benchmarks.zoo.needed import read_by
from benchmarks.zoo.precision import half_error
from benchmarks.zoo.rows import record
from benchmarks.zoo.trained import trained
from tests.specs import spec_of
from tests.sweep_folders import stand
from tests.untrained import untrained_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "bsrp_lag"
    untrained_run(folder)
    assert final_evaluation(member(folder), 20)
    return folder


@pytest.fixture(scope="module")
def added(run, tmp_path_factory) -> entry.Entry:
    return add(run, tmp_path_factory.mktemp("zoo"))


def test_the_final_evaluation_is_on_unseen_layouts_and_made_once(run):
    rows = read_records(run / FINAL_FILE)
    assert set(rows["split"]) == {FINAL}
    assert list(rows["episode"]) == list(range(1000, 1020))
    assert set(rows["env_steps"]) == {3000}
    before = (run / FINAL_FILE).stat().st_mtime_ns
    assert final_evaluation(member(run), 20)
    assert (run / FINAL_FILE).stat().st_mtime_ns == before


def test_another_number_of_episodes_is_evaluated_again(run, added, tmp_path, monkeypatch, capsys):
    other = tmp_path / "run"
    shutil.copytree(run, other)
    assert final_evaluation(member(other), 2)
    assert list(read_records(other / FINAL_FILE)["episode"]) == [1000, 1001]
    published = []
    monkeypatch.setattr(entry, "ROOT", added.folder.parents[2])
    monkeypatch.setattr(adding, "add", lambda folder: published.append(folder) or added)
    publish_policy(member(other))
    assert published == [other]  # the scores of its card are of 20 episodes
    shutil.rmtree(other / "checkpoints")
    capsys.readouterr()
    assert not final_evaluation(member(other), 2)
    assert capsys.readouterr().out == ""
    assert not final_evaluation(member(other), 20)
    said = "no checkpoint: run; its final evaluation of 2 episodes stays, not 20\n"
    assert capsys.readouterr().out == said
    assert len(read_records(other / FINAL_FILE)) == 2


def test_a_run_without_checkpoint_is_not_evaluated(tmp_path, capsys):
    (tmp_path / SPEC_FILE).write_text(
        json.dumps({"run_id": "a", "spec": to_dict(spec_of("bsrp_lag")), "starts": []})
    )
    assert not final_evaluation(member(tmp_path), 20)
    assert "no checkpoint and no final evaluation" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["finished", "out_of_time", "train"])
def test_a_finished_run_whose_checkpoints_were_not_kept_is_named(tmp_path, state):
    untrained_run(tmp_path, "sac")
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(BadInput, match="has no checkpoint yet"):  # before it wrote a status
        evaluate.main([str(tmp_path)])
    stand(tmp_path, state)
    message = "yet" if state == "train" else ": its training is done.*zoo.* or train it again"
    with pytest.raises(BadInput, match=f"has no checkpoint ?{message}"):
        evaluate.main([str(tmp_path)])


@pytest.mark.slow
def test_what_is_kept_acts_as_the_checkpoint_does(run, added):
    spec, path, *_ = newest(run)
    make, env_spec = environment(spec)
    agent, whole = trained_agent(spec, path, env_spec)
    _, state = states.load(added, env_spec)
    kept = np.load(added.folder / entry.POLICY)
    assert not any("optimizers" in name or "slow" in name for name in kept.files)
    assert {kept[name].dtype.name for name in kept.files} == {"float16"}
    error = half_error(agent, whole, state, record(agent, whole, make, spec.seed))
    assert 1e-6 < error < TOLERANCE
    about = added.card["parameters"]
    assert about["count"] < about["of"] / 2 and about["float16_error"] == pytest.approx(error)


def test_a_loaded_policy_scores_as_its_card_says(added, tmp_path, monkeypatch):
    monkeypatch.setattr(entry, "ROOT", added.folder.parents[2])
    out = tmp_path / "again.csv"
    args = [f"zoo:{added.name}", "--unseen", "--workers", "inline", "--out", str(out)]
    assert evaluate.main([*args, "--episodes", "16"]) == 0
    rows = read_records(out)
    assert left_its_interval(added.card, rows) == ""
    worse = rows.assign(**{"return": added.card["rescore"]["return"][1] + 0.01})
    assert left_its_interval(added.card, worse).startswith("return")
    costly = rows.assign(cost=added.card["rescore"]["cost"][1] + 0.01)
    assert left_its_interval(added.card, costly).startswith("cost")
    policy = load_agent(f"zoo:{added.name}")
    assert (policy.env_steps, policy.spec.seed) == (3000, 3)
    with pytest.raises(BadInput, match=r"did you mean bsrp_lag/tests.*the zoo has bsrp_lag/tests"):
        evaluate.main(["zoo:bsrp_lag/tests.fakes.shore-shore/4"])


def test_an_agent_trained_to_act_with_its_actor_can_plan(added, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(entry, "ROOT", added.folder.parents[2])
    monkeypatch.chdir(tmp_path)
    name, settings = f"zoo:{added.name}", ["act_with=planner", "planner.candidates=8"]
    asked = [name, "--unseen", "--episodes", "2"]
    assert evaluate.main(asked) == evaluate.main([*asked, "--set", *settings]) == 0
    label = "bsrp_lag [act_with=planner, planner.candidates=8]"
    assert f"{label} on " in capsys.readouterr().out
    acted, planned = sorted(tmp_path.glob("*.csv"), key=lambda file: len(file.name))
    assert planned.stem == f"{acted.stem}-act_with=planner--planner.candidates=8"
    assert set(read_records(planned)["method"]) == {label}
    policy = load_agent(name, act_with="planner", **{"planner.candidates": 8})
    expected = policy.evaluate(2, unseen=True)["return"]
    assert list(read_records(planned)["return"]) == pytest.approx(list(expected), abs=1e-4)
    assert list(read_records(acted)["return"]) != pytest.approx(list(expected), abs=1e-4)
    for wrong, why in (
        ("planner.candidate=8", "did you mean planner.candidates"),
        ("planner.elites=900", "planner.elites=900 must lie in"),
        ("loop.num_envs=2", "loop.num_envs is a setting of training"),
        ("cost_limit", "as NAME=VALUE"),
    ):
        with pytest.raises(BadInput, match=why):
            evaluate.main([*asked, "--set", wrong])


def test_other_settings_follow_the_variant_of_the_run(run, tmp_path):
    varied, out = shutil.copytree(run, tmp_path / "run"), tmp_path / "out.csv"
    (varied / SWEEP_FILE).write_text(json.dumps({"variant": "half"}))
    asked = [str(varied), "--episodes", "1", "--out", str(out)]
    assert evaluate.main([*asked, "--set", "cost_limit=3"]) == 0
    assert set(read_records(out)["method"]) == {"bsrp_lag [half, cost_limit=3.0]"}
    assert evaluate.main(asked) == 0
    assert set(read_records(out)["method"]) == {"bsrp_lag [half]"}


def test_a_shared_run_keeps_its_variant(run, tmp_path):
    varied = shutil.copytree(run, tmp_path / "run")
    (varied / SWEEP_FILE).write_text(json.dumps({"variant": "half"}))
    gather(varied, tmp_path / "shared")
    assert variant_of(tmp_path / "shared") == "half"


def test_no_evaluation_overwrites_another(run, tmp_path):
    copied = shutil.copytree(run, tmp_path / "run")
    policy = Policy(trained(copied))
    spec = policy.trained.spec

    def name(of: Policy = policy, **options) -> str:
        chosen = evaluate.EvaluateArgs(str(copied), **options)
        seeded = of.trained._replace(spec=evaluate._seeded(of.trained.spec, chosen))
        changed = evaluate._acting(of._replace(trained=seeded), chosen.set)
        return evaluate._default_out(changed, chosen).name

    assert name() == f"evaluation-{spec.task.replace(':', '-')}-default-3000.csv"
    long = ("planner.candidates=8", "planner.iterations=2", "planner.horizon=5", "cost_limit=")
    changes = [(*long[:-1], f"{long[-1]}{limit}") for limit in (1, 2)]
    names = [name(), name(unseen=True), name(seed=3), name(seed=4), name(set=("cost_limit=1",))]
    names += [name(episodes=50), name(episodes=5), name(episodes=50, unseen=True)]
    names += [name(set=change) for change in changes]
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    for of, seed, file in (
        ("bsrp_lag", 3, "a"),
        ("bsrp_lag", 4, "a"),
        ("osrp", 3, "a"),
        ("osrp", 3, "b"),
    ):
        of_file = dataclasses.replace(spec, method=of, seed=seed)
        theirs = policy.trained._replace(spec=of_file, source=tmp_path / file)
        names.append(name(policy._replace(official=True, trained=theirs)))
    assert len(set(names)) == len(names) == 14


def test_a_policy_of_the_zoo_is_stressed_like_its_run(run, added, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(entry, "ROOT", added.folder.parents[2])
    monkeypatch.setattr(analysis, "run", lambda *_: 0)  # figures: tests/analysis/test_stress.py
    monkeypatch.chdir(tmp_path)
    asked = ["--only", "sensor_noise", "--strengths", "0.1", "--episodes", "2"]
    assert stress.main([f"zoo:{added.name}", *asked]) == 0
    assert stress.main([str(run), *asked, "--out", "run"]) == 0
    ours, theirs = (pd.read_csv(x / "stress.csv") for x in (*tmp_path.glob("zoo-*"), Path("run")))
    about = ["run_id", "method", "perturbation", "strength", "episode", "env_steps"]
    pd.testing.assert_frame_equal(ours[about], theirs[about])
    # the zoo's parameters are in half precision
    assert list(ours["return"]) == pytest.approx(list(theirs["return"]), rel=0.02, abs=0.02)
    (about,) = (json.loads(file.read_text()) for file in tmp_path.glob("zoo-*/stress.json"))
    assert [one["folder"] for one in about["runs"].values()] == [f"zoo:{added.name}"]
    assert not list(tmp_path.glob("zoo-*/prediction_errors.csv"))  # of heads that the zoo omits
    for name, lacks in (("cost_delay", "the zoo does not keep"), ("older_model", "has 0")):
        with pytest.raises(BadInput, match=lacks):
            stress.main([f"zoo:{added.name}", "--only", name, "--dry-run"])


def test_the_same_run_gives_the_same_files_and_another_is_refused(run, added, tmp_path):
    again = add(run, tmp_path)
    for name in (entry.POLICY, entry.CARD, entry.TEXT):
        assert (again.folder / name).read_bytes() == (added.folder / name).read_bytes()
    card = json.loads((again.folder / entry.CARD).read_text())
    (again.folder / entry.CARD).write_text(json.dumps(card | {"run_id": "other"}))
    with pytest.raises(BadInput, match="is run other, not"):
        add(run, tmp_path)


def test_an_extended_run_is_evaluated_and_published_again(run, added, tmp_path, monkeypatch):
    extended = tmp_path / "run"
    shutil.copytree(run, extended)
    untrained_run(extended, env_steps=6000)
    with pytest.raises(BadInput, match="is of 3,000 simulator steps, the newest checkpoint of 6"):
        add(extended, added.folder.parents[2])
    assert final_evaluation(member(extended), 2)
    assert set(read_records(extended / FINAL_FILE)["env_steps"]) == {6000}
    published = []
    monkeypatch.setattr(entry, "ROOT", added.folder.parents[2])
    monkeypatch.setattr(adding, "add", lambda folder: published.append(folder) or added)
    for folder in (run, extended):
        publish_policy(member(folder))
    assert published == [extended]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda lines: lines[:1], "final.csv has 0 episodes"),
        (lambda lines: lines[:2], "final.csv has 1 episodes"),
        (lambda lines: [*lines[:2], "nonsense\n", *lines[2:]], r"damaged \(line 3: 1 of 13"),
    ],
)
def test_without_a_whole_final_evaluation_nothing_is_written(run, tmp_path, change, why):
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / FINAL_FILE
    file.write_text("".join(change(file.read_text().splitlines(keepends=True))))
    with pytest.raises(BadInput, match=why):
        add(tmp_path / "run", tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()


def test_observations_have_names_of_their_own_and_variants_stay_out(run, tmp_path, capsys):
    spec = {"method": "bsrp_lag", "task": "SafetyPointGoal1-v0", "seed": 3}
    assert entry.entry_name(spec | {"obs": "lidar"}) == "bsrp_lag/PointGoal1/3"
    assert entry.entry_name(spec | {"obs": "vision"}) == "bsrp_lag/PointGoal1-vision/3"
    varied = tmp_path / "runs" / "varied"
    shutil.copytree(run, varied)
    about = {"suites": ["one"], "tags": [], "variant": "limit 10"}
    (varied / SWEEP_FILE).write_text(json.dumps(about))
    publish_policy(member(varied))
    said = "not in the zoo: varied is the variant 'limit 10' of bsrp_lag"
    assert said in capsys.readouterr().out
    with pytest.raises(BadInput, match="is the variant 'limit 10' of bsrp_lag"):
        add(varied, tmp_path / "zoo")


def test_a_run_without_its_final_evaluation_is_refused(tmp_path):
    untrained_run(tmp_path / "run", seed=5)
    with pytest.raises(BadInput, match=r"has no final.csv: `safedreamer publish`"):
        add(tmp_path / "run", tmp_path / "zoo")
    assert entry.names(tmp_path / "zoo") == []


@pytest.mark.parametrize(
    "change, why",
    [
        (lambda a: a | {".params.nobody": np.zeros(1)}, "the agent has no .params.nobody"),
        (lambda a: dict(list(a.items())[1:]), "it lacks .params"),
        (lambda a: a | {next(iter(a)): np.zeros((1, 1, 1))}, r"is \[1, 1, 1\]"),
        (lambda a: a | {(k := next(iter(a))): np.full_like(a[k], np.nan)}, "is not finite"),
    ],
)
def test_a_damaged_policy_is_refused(added, tmp_path, change, why):
    arrays = dict(np.load(added.folder / entry.POLICY))
    write_policy(tmp_path / entry.POLICY, change(arrays))
    _, env_spec = environment(added.spec)
    with pytest.raises(DamagedFile, match=r"its SHA-256 is not that of card.json"):
        states.load(added._replace(folder=tmp_path), env_spec)
    sha256 = hashlib.sha256((tmp_path / entry.POLICY).read_bytes()).hexdigest()
    card = added.card | {"parameters": {"sha256": sha256}}
    with pytest.raises(DamagedFile, match=why):
        states.load(added._replace(folder=tmp_path, card=card), env_spec)


def test_only_leaves_that_matter_are_read():
    state = {"used": jnp.ones(2), "unused": jnp.ones(2), "inner": (jnp.ones(()), jnp.ones(()))}
    read = read_by(jax.jit(lambda s: (s["used"] * s["inner"][1], s["unused"].shape[0])), state)
    assert read == {"['used']", "['inner'][1]"}


def test_intervals_by_hand():
    # mean 2, s = 1, t[2, 0.975] = 4.302653
    low, high = mean_interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), rel=1e-6)
    low, high = mean_interval([1.0, 2.0, 3.0], further=3)
    assert high - 2 == pytest.approx(4.302653 * (2 / 3) ** 0.5, rel=1e-6)


def test_what_is_published_names_no_machine(tmp_path):
    status = {"state": "finished", "host": "here", "folder": "/somewhere", "env_steps": 3}
    (tmp_path / STATUS_FILE).write_text(json.dumps(status))
    forget_place(tmp_path)
    assert json.loads((tmp_path / STATUS_FILE).read_text()) == {
        "state": "finished",
        "host": "",
        "env_steps": 3,
    }


def rescored() -> list[Any]:
    """The first entry by name of JAX, and the first of OmniSafe."""
    first: dict[str, str] = {}
    for name in entry.names():
        first.setdefault(method(name.split("/")[0]).engine, name)
    return [first["jax"], pytest.param(first["torch"], marks=pytest.mark.omnisafe)]


@pytest.mark.slow
@pytest.mark.parametrize("name", rescored())
def test_published_policies_still_score_what_their_cards_say(name, tmp_path):
    of, out = entry.find(name), tmp_path / "again.csv"
    count = of.card["rescore"]["episodes"]
    args = [f"zoo:{name}", "--unseen", "--episodes", str(count), "--out", str(out)]
    assert evaluate.main(args) == 0
    assert left_its_interval(of.card, read_records(out).query("split == 'eval'")) == ""


def left_its_interval(card: dict[str, Any], rows: pd.DataFrame) -> str:
    """Which of return and cost is outside the card's interval; "" if neither is."""
    assert len(rows) == card["rescore"]["episodes"]
    for name in ("return", "cost"):
        low, high = card["rescore"][name]
        if not low <= rows[name].mean() <= high:
            return f"{name} {rows[name].mean():.2f} left {low:.2f} to {high:.2f}"
    return ""
