"""A run with damaged checkpoints, replay or rows continues from an older checkpoint, or fails with
a one-line error.
"""

from __future__ import annotations

import json
import shutil

import pytest

from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import STATUS_FILE
from benchmarks.runs.records import CLOCK, read_records
from benchmarks.training.loop import Options, train
from benchmarks.training.progress import Reporter
from benchmarks.training.resume import newest_checkpoint
from tests.damage import flip
from tests.fakes.toys import Listener, ToyAgent, toy_env, toy_spec

SPEC = toy_spec(steps=240)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of 200 steps, and an unbroken one of 240."""
    folder = tmp_path_factory.mktemp("runs")
    train(toy_spec(steps=200), folder / "short", toy_env, ToyAgent)
    train(SPEC, folder / "long", toy_env, ToyAgent)
    return folder


def newest(folder, pattern):
    return sorted(folder.glob(pattern))[-1]


def cut_rows(folder):
    lines = (folder / "episodes.csv").read_bytes().splitlines(keepends=True)
    (folder / "episodes.csv").write_bytes(b"".join(lines[:-1]))


DAMAGE = {
    "a flipped newest segment": lambda run: flip(newest(run, "replay/segment_*.npz")),
    "a missing newest segment": lambda run: newest(run, "replay/segment_*.npz").unlink(),
    "a missing row": cut_rows,
}


@pytest.mark.parametrize("how", DAMAGE)
def test_the_older_checkpoint_is_used_with_a_line_and_nothing_is_lost(runs, tmp_path, how):
    run = tmp_path / "run"
    shutil.copytree(runs / "short", run)
    DAMAGE[how](run)
    listener = Listener()
    train(SPEC, run, toy_env, ToyAgent, Options(reporter=listener))
    assert any("is damaged" in text and "continuing from" in text for text in listener.said), (
        listener.said
    )
    left, right = (
        read_records(folder).drop(columns=list(CLOCK)) for folder in (run, runs / "long")
    )
    assert (
        left[left.split == "train"]
        .reset_index(drop=True)
        .equals(right[right.split == "train"].reset_index(drop=True))
    )


@pytest.mark.parametrize("name", ["replay/manifest.json", "checkpoints"])
def test_what_leaves_no_whole_checkpoint_is_refused_in_one_line(runs, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(runs / "short", run)
    shutil.rmtree(run / name) if (run / name).is_dir() else (run / name).write_bytes(b"{")
    before = (
        (run / "episodes.csv").read_bytes(),
        (run / "spec.json").read_bytes(),
        (run / "status.json").read_bytes(),
    )
    with pytest.raises(BadInput, match="checkpoint") as error:
        train(SPEC, run, toy_env, ToyAgent)
    assert "\n" not in str(error.value) and str(run) in str(error.value)
    assert before == tuple(
        (run / file).read_bytes() for file in ("episodes.csv", "spec.json", "status.json")
    )


@pytest.mark.parametrize("env_steps", [0, 150])  # as the last heartbeat had it
def test_starting_over_is_said(env_steps: int, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(
            toy_spec(checkpoint_every=10**6), run, toy_env, ToyAgent, Options(reporter=Breaking())
        )
    status = json.loads((run / STATUS_FILE).read_text())
    (run / STATUS_FILE).write_text(json.dumps(status | {"env_steps": env_steps}))
    listener = Listener()
    train(toy_spec(steps=120), run, toy_env, ToyAgent, Options(reporter=listener))
    assert any("before its first checkpoint; it starts over" in text for text in listener.said)


@pytest.mark.parametrize(
    ("state", "env_steps", "replay", "refused"),
    [
        ("starting", 200, False, True),  # every 60 agent steps are 120 simulator steps
        ("train", 200, False, True),
        ("failed", 200, False, True),
        ("train", 100, True, True),  # it was stopped earlier, and saved
        ("evaluate", 100, True, True),
        ("train", 100, False, False),
        ("save", 120, True, False),  # killed while it wrote its first checkpoint
        ("failed", 120, True, False),
    ],
)
def test_a_run_whose_checkpoints_were_lost_keeps_its_records(
    runs, tmp_path, state, env_steps, replay, refused
):
    run, listener = tmp_path / "run", Listener()
    shutil.copytree(runs / "short", run)
    shutil.rmtree(run / "checkpoints")
    if not replay:
        shutil.rmtree(run / "replay")
    status = json.loads((run / STATUS_FILE).read_text())
    (run / STATUS_FILE).write_text(json.dumps(status | {"state": state, "env_steps": env_steps}))
    if refused:
        with pytest.raises(BadInput, match="no intact checkpoint, although this run saved one"):
            newest_checkpoint(run, SPEC.run_id, listener.say)
    else:
        assert newest_checkpoint(run, SPEC.run_id, listener.say) is None
    assert listener.said == ([] if refused else [STARTS_OVER])


STARTS_OVER = "the run ended before its first checkpoint; it starts over, and so do its records"


class Breaking(Reporter):
    def update(self, snapshot):
        if snapshot.env_steps > 150 and snapshot.state == "evaluate":
            raise KeyboardInterrupt


def test_a_time_budget_is_an_ending_and_a_larger_one_continues(tmp_path):
    from benchmarks.runs.status import read_status
    from benchmarks.sweep.members import Budget

    result = train(toy_spec(steps=10**9), tmp_path, toy_env, ToyAgent, Options(max_minutes=0.005))
    status = read_status(tmp_path)
    assert not result.finished and status.state == "out_of_time" and status.max_minutes == 0.005
    assert (
        Budget(10**9, 0.005).spent(status)
        and not Budget(10**9, 0.01).spent(status)
        and not Budget(10**9).spent(status)
    )
    more = train(
        toy_spec(steps=result.env_steps + 60), tmp_path, toy_env, ToyAgent, Options(max_minutes=5.0)
    )
    assert (
        more.finished
        and more.env_steps == result.env_steps + 60
        and read_status(tmp_path).state == "finished"
    )
