"""Examples of the documentation work: Python code runs, YAML files can be loaded.

Those of docs/howto/python.md, own_method.md, own_environment.md and of imported results have their
own tests.
"""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import pytest

from benchmarks.stress import suite as stress_suite
from benchmarks.suites import reading
from slurm import profile
from tests.analysis_runs import write_run
from tests.documents import blocks
from tests.tree import ROOT


def run_examples(page: str) -> dict[str, Any]:
    """Run the Python blocks of a page one after another; return the resulting names."""
    matplotlib.use("Agg")
    names: dict[str, Any] = {}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    return names


@pytest.mark.slow
def test_the_front_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    (tmp_path / "results").symlink_to(ROOT / "results")
    monkeypatch.chdir(tmp_path)
    names = run_examples("README.md")
    assert Path("curves.png").stat().st_size > 10_000
    assert set(names["info"]) >= {"cost"}
    assert Path(names["run"]) == Path("runs/first") and Path("runs/first/spec.json").is_file()
    assert re.search(r"^return +\d", capfd.readouterr().out, re.MULTILINE)


@pytest.mark.slow
def test_the_page_about_reports_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd):
    for folder, method, gain in (("runs", "osrp", 1.0), ("theirs", "osrp_lag", 2.0)):
        for seed in range(3):
            evals = [(step, gain * step / 1000 + seed, 1.0) for step in (2000, 4000)]
            write_run(tmp_path / folder / f"{method}-{seed}", method, seed, evals=evals)
    for folder in ("runs", "theirs"):  # the campaign itself would take minutes
        shutil.copytree(tmp_path / folder, tmp_path / "results" / "campaign" / folder)
    monkeypatch.chdir(tmp_path)
    names = run_examples("docs/howto/report.md")
    assert {"curves.pdf", "curves.svg", "curves.png", "improvement.pdf"} <= {
        path.name for path in tmp_path.iterdir()
    }
    assert {"x", "y", "probability"} <= set(names["gains"])
    assert "curves" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("page", "load"),
    [
        ("docs/howto/sweep.md", reading.load),
        ("docs/howto/slurm.md", partial(profile.load, families=["omnisafe"])),
        ("docs/howto/stress.md", stress_suite.load),
    ],
)
def test_yaml_of_a_page_is_read(page: str, load: Callable[[str], Any], tmp_path: Path):
    found = re.findall(r"^( *)```yaml\n(.*?)^\1```$", (ROOT / page).read_text(), re.M | re.S)
    assert len(found) == 1
    file = tmp_path / "example.yaml"
    file.write_text(textwrap.dedent(found[0][1]))
    load(str(file))


def test_a_wrong_example_is_noticed(tmp_path: Path):
    (tmp_path / "example.yaml").write_text("runs: [{methods: [osrp], tusks: [core5]}]\n")
    with pytest.raises(ValueError, match="tusks"):
        reading.load(tmp_path / "example.yaml")
