"""Stress tests of an OmniSafe policy, which acts in a separate process."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cli import analysis, app
from benchmarks.runs.records import read_records
from benchmarks.stress import records

pytestmark = pytest.mark.omnisafe
SHORE = "tests.fakes.shore:shore"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ppo_lag"
    line = ["train", "--method", "ppo_lag", "--task", SHORE, "--preset", "debug"]
    assert app.main([*line, "--out", str(folder)]) == 0
    return folder


def test_it_is_perturbed_and_otherwise_what_evaluate_plays(run, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(analysis, "run", lambda command, args: 0)
    table, line = tmp_path / "plain.csv", ["--episodes", "3", "--out"]
    assert app.main(["evaluate", str(run), *line, str(table), "--unseen"]) == 0
    only = ["--only", "action_gain", "sensor_delay", "--strengths", "1"]
    assert app.main(["stress", str(run), *line, str(tmp_path), *only]) == 0
    rows = records.read(tmp_path / "stress.csv")
    returns = [row.record.return_ for row in rows]
    plain = read_records(table)
    assert returns[:3] == plain[plain["split"] == "eval"]["return"].tolist()
    assert returns[3:6] == [0.0] * 3  # at a gain of 0 nothing moves
    assert returns[6:] != returns[:3]
    assert [row.perturbation for row in rows[::3]] == ["none", "action_gain", "sensor_delay"]
    before = (tmp_path / "stress.csv").read_text()
    assert app.main(["stress", str(run), *line, str(tmp_path), *only]) == 0
    assert (tmp_path / "stress.csv").read_text() == before
    model = ["stress", str(run), *line, str(tmp_path), "--only", "model_bits"]
    assert app.main(model) == 2
    assert "model_bits needs a world model in JAX" in capfd.readouterr().err
