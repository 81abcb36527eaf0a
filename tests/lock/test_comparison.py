"""The lock reports every difference between two run folders except in clocks."""

import json

import pytest

from tests.lock.comparison import exact, first_update

ROW = {
    "env_steps": 80,
    "updates": 1,
    "wall_seconds": 2.5,
    "time/act": 0.1,
    "train/model/loss": 40.0,
    "train/actor/grad_norm": 2e-5,
}
EPISODE = {"run_id": "466117b74f", "split": "eval", "return": "1.81", "wall_seconds": "66.72"}


@pytest.fixture
def folder(tmp_path):
    def write(name, metrics=({},), **episode):
        out = tmp_path / name
        out.mkdir()
        rows = [{"env_steps": 40, "updates": 0}, *(ROW | change for change in metrics)]
        (out / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        row = EPISODE | episode
        (out / "episodes.csv").write_text(",".join(row) + "\n" + ",".join(row.values()) + "\n")
        return out

    return write


def test_runs_that_differ_in_clocks_alone_are_the_same(folder):
    other = folder("b", [{"wall_seconds": 9.9, "time/act": 7.0}], wall_seconds="1.0")
    assert exact(folder("a"), other) == [] and first_update(folder("c"), other) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"train/model/loss": 40.000000000000007},
            "row 2: train/model/loss was 40.0, is 40.00000000000001",
        ),
        ({"new": 1.0}, "row 2: new was absent, is 1.0"),
        ({"new": None}, "row 2: new was absent, is None"),
    ],
)
def test_exact_names_the_row_and_both_values(folder, change, line):
    assert exact(folder("a"), folder("b", [change])) == [f"metrics.jsonl: {line}"]


def test_exact_sees_records_and_missing_rows(folder):
    assert exact(folder("a"), folder("b", **{"return": "1.82"})) == [
        "episodes.csv: row 1: return was 1.81, is 1.82"
    ]
    assert exact(folder("c"), folder("d", [{}, {}])) == ["metrics.jsonl: 2 rows before, 3 after"]


@pytest.mark.parametrize(
    ("name", "value", "same"),
    [
        ("train/model/loss", 40.003, True),
        ("train/model/loss", 40.005, False),
        ("train/actor/grad_norm", 2.05e-5, True),
        ("train/actor/grad_norm", 2.2e-5, False),
        ("train/model/loss", None, False),
        ("updates", 2, False),
    ],
)
def test_first_update_allows_for_rounding(folder, name, value, same):
    assert (first_update(folder("a"), folder("b", [{name: value}])) == []) == same


def test_first_update_ignores_what_comes_later(folder):
    assert first_update(folder("a", [{}, {}]), folder("b", [{}, {"train/model/loss": 7.0}])) == []


def test_first_update_misses_no_loss(folder):
    before, after = folder("a"), folder("b")
    (after / "metrics.jsonl").write_text('{"env_steps": 40, "updates": 0}\n')
    assert first_update(before, after) == ["no losses after"]
