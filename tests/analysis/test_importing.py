"""Importing results of other programs with one command and a map of their columns."""

from __future__ import annotations

import re
import shlex
import struct
from pathlib import Path

import pytest
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event

from analysis.commands import main
from analysis.read import importing
from analysis.read.foreign.events import Scalar, scalars
from analysis.read.load import load
from tests.documents import blocks

TASK = "SafetyPointGoal1-v0"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs of four programs in their own layouts, and the CSV file of the documentation."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs").mkdir()
    (text,) = blocks("docs/howto/report.md", "csv")
    for seed in range(3):
        (tmp_path / "theirs" / f"seed{seed}.csv").write_text(text)
    sb3 = tmp_path / "logs" / "ppo" / f"{TASK}_3"
    sb3.mkdir(parents=True)
    for number, rows in enumerate((["1.5,1000,2.0,30", "9.5,1000,3.0,20"], ["4.0,500,7.0,10"])):
        (sb3 / f"{number}.monitor.csv").write_text(
            f'#{{"t_start": 1.0, "env_id": "{TASK}"}}\nr,l,t,ep_cost\n'
            + "".join(f"{r},{n},{t},{c}\n" for r, n, t, c in (row.split(",") for row in rows))
        )
    cleanrl = SummaryWriter(str(tmp_path / "runs" / f"{TASK}__ppo__7__1700000000"))
    for step, value, cost in ((1000, 1.0, 60.0), (2000, 4.0, 20.0)):
        cleanrl.add_scalar("charts/episodic_return", value, step)
        cleanrl.add_scalar("charts/cost", cost, step)
    cleanrl.close()
    sheeprl = tmp_path / "sheeprl" / "dreamer_v3" / TASK / "2026-01-01_00-00-00_mine_5"
    writer = SummaryWriter(str(sheeprl / "version_0"))
    writer.add_scalar("Rewards/rew_avg", 6.0, 4000)
    writer.add_scalar("Rewards/cost_avg", 9.0, 4000)
    writer.close()
    return tmp_path


def documented() -> list[list[str]]:
    text = "".join(blocks("docs/howto/report.md", ""))
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [shlex.split(line)[1:] for line in lines if "--import" in line]


@pytest.mark.parametrize("words", [w for w in documented() if w[0] == "plot"], ids=lambda w: w[-1])
def test_the_examples_of_the_documentation_run(
    folder: Path, words: list[str], capsys: pytest.CaptureFixture[str]
):
    assert main.main(words) == 0, capsys.readouterr().err
    table = capsys.readouterr().out
    out = folder / words[-1]
    assert (out / "curves.png").stat().st_size > 10_000
    assert {"figure": "theirs", "figure_sb3": "ppo_sb3", "figure_cleanrl": "PPO"}[out.name] in table


def test_csv_files_become_runs_with_seeds_of_their_names(folder: Path):
    words = "theirs/*.csv return=ep_ret cost=ep_cost env_steps=step length=ep_len".split()
    words += ["method=theirs", f"task={TASK}", "split=eval", "cost_limit=25"]
    results = load([], importing.read(words))
    assert results.runs["seed"].tolist() == [0, 1, 2]
    assert set(results.runs["cost_limit"]) == {25.0}
    assert results.episodes["return"].tolist() == [-0.42, 3.17, 7.9] * 3
    assert set(results.episodes["split"]) == {"eval"}
    assert set(results.runs["notes"]) == {"the seed is the last number of its name"}


def test_monitor_files_of_parallel_environments_are_one_run(folder: Path):
    results = load([], importing.read(["logs/ppo/*", "cost=ep_cost"]))
    (run,) = results.runs.to_dict("records")
    assert (run["method"], run["task"], run["seed"], run["source"]) == ("ppo", TASK, 3, "monitor")
    rows = results.episodes[["env_steps", "return", "cost", "wall_seconds"]]
    assert rows.values.tolist() == [
        [1000, 1.5, 30.0, 2.0],
        [2000, 9.5, 20.0, 3.0],
        [2500, 4.0, 10.0, 7.0],
    ]
    (part,) = importing.read(["logs/ppo/*/*.monitor.csv", "logs/ppo/*", "cost=ep_cost"])
    assert len(part.episodes) == 3
    (run,) = load(["logs"]).runs.to_dict("records")  # found without --import, but lacking costs
    assert run["status"] == "unreadable records"
    assert "no column cost; there are ep_cost, l, r, t" in run["notes"]


def test_cleanrl_and_sheeprl_are_known_by_their_folders(folder: Path):
    results = load(["runs", "sheeprl"])
    found = {run["method"]: run for run in results.runs.to_dict("records")}
    assert (found["ppo"]["task"], found["ppo"]["seed"]) == (TASK, 7)
    assert (found["dreamer_v3"]["task"], found["dreamer_v3"]["seed"]) == (TASK, 5)
    sheeprl = results.episodes[results.episodes["method"] == "dreamer_v3"]
    assert sheeprl[["env_steps", "return", "cost"]].values.tolist() == [[4000, 6.0, 9.0]]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("return=R", "give a file, a folder or a pattern"),
        ("nowhere/*.csv return=R", "--import nowhere/.*no such file or folder"),
        ("theirs/*.csv return=R cost=ep_cost env_steps=step", "no column for return=R; it has st"),
        ("theirs/*.csv return=ep_ret cost=ep_cost", "the map of columns lacks env_steps"),
        ("theirs/*.csv colour=red", "colour=red: no such column; ours are return, cost"),
        ("theirs/*.csv cost_limit=low", "cost_limit=low is neither a column nor a number"),
        ("theirs return=R", "no file in it is one of TensorBoard"),
        ("logs/ppo/* split=dev", "split=dev must be train or eval"),
    ],
)
def test_a_map_that_does_not_fit_is_refused(folder: Path, words: str, message: str):
    with pytest.raises(ValueError, match=message):
        importing.read(words.split())


@pytest.mark.parametrize(
    "path",
    ["imp [half size]/p.csv", "imp [half size]/*.csv", "seed=0/p.csv", "seed=0/*.csv"],
)
def test_a_path_with_characters_of_patterns_and_options_is_a_path(folder: Path, path: str):
    file = folder / path.replace("*", "p")
    file.parent.mkdir(exist_ok=True)
    file.write_text((folder / "theirs" / "seed0.csv").read_text())
    if "/*" in path and "[" in path:
        path = path.replace("[", "[[]")
    words = "return=ep_ret cost=ep_cost env_steps=step method=theirs seed=5".split()
    (part,) = importing.read([path, *words, f"task={TASK}"])
    assert part.episodes["return"].tolist() == [-0.42, 3.17, 7.9]
    assert [facts["seed"] for facts in part.facts] == [5]


def test_an_option_that_is_given_twice_is_refused(folder: Path):
    words = "theirs/*.csv return=ep_ret cost=ep_cost env_steps=step method=theirs method=x"
    message = "method=theirs and method=x; give method once"
    with pytest.raises(ValueError, match=message):
        importing.read(words.split())


def test_scalars_are_plain_values_or_tensors(tmp_path: Path):
    plain, tensor, text = Event(step=3), Event(step=4), Event(step=5)
    plain.summary.value.add(tag="a", simple_value=1.5)
    value = tensor.summary.value.add(tag="b")
    value.metadata.plugin_data.plugin_name = "scalars"
    value.tensor.dtype = 1
    value.tensor.tensor_content = struct.pack("<f", 2.5)
    text.summary.value.add(tag="c").metadata.plugin_data.plugin_name = "text"
    file = tmp_path / "events.out.tfevents.1"
    records = [event.SerializeToString() for event in (plain, tensor, text)]
    data = b"".join(struct.pack("<QI", len(r), 0) + r + bytes(4) for r in records)
    file.write_bytes(data + struct.pack("<QI", 100, 0) + b"unfinished")
    assert list(scalars(file)) == [Scalar("a", 3, 1.5), Scalar("b", 4, 2.5)]
