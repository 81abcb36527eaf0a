"""The job script from the documentation of stress tests, on a real Slurm."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.commands.main import main as analysis
from slurm.minicluster.cluster import MiniCluster
from slurm.minicluster.processes import wait_until
from tests.slurm_sweeps import PATIENCE_S
from tests.tree import ROOT
from tests.untrained import untrained_run

pytestmark = [pytest.mark.slurm, pytest.mark.slow]


def script() -> str:
    text = (ROOT / "docs" / "howto" / "stress.md").read_text(encoding="utf-8")
    (found,) = re.findall(r"```bash\n(#!/bin/bash\n.*?)```", text, re.DOTALL)
    return found


def submit(cluster: MiniCluster, file: Path, *options: str) -> None:
    """Submit the script and wait until its jobs are done."""
    number = cluster.command(
        "sbatch", "--parsable", f"--chdir={file.parent}", *options, str(file)
    ).strip()

    def states() -> set[str]:
        return {job.state for job in cluster.squeue() if job.job_id.startswith(f"{number}_")}

    assert wait_until(lambda: states() <= {"COMPLETED"}, PATIENCE_S, every=0.5), states()


def test_a_job_per_run_continues_and_is_drawn_together(cluster, tmp_path, capsys):
    for seed in (0, 1):
        folder = tmp_path / "results" / "campaign" / "runs" / f"run-{seed}"
        untrained_run(folder, "dreamerv3", seed, weights=0)
    text = script()
    for old, new in (
        ("--array=0-9", "--array=0-1"),
        ("--mem=4G", "--mem=500M"),
        ("--suite circle", "--only action_gain --strengths 0.5 --episodes 2"),
        ("exec ", f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={ROOT}\nexec "),
    ):
        assert old in text
        text = text.replace(old, new)
    file = tmp_path / "stress.sh"
    file.write_text(text)
    submit(cluster, file)
    parts = sorted((tmp_path / "results" / "stress" / "parts").iterdir())
    first = [(part / "stress.csv").read_text() for part in parts]
    assert [part.name for part in parts] == ["0", "1"]
    submit(cluster, file, "--array=0")  # second time: all results exist
    assert [(part / "stress.csv").read_text() for part in parts] == first
    log = "".join(file.read_text() for file in sorted(tmp_path.glob("slurm-*.out")))
    assert log.count("0 cells in") == 1
    out = tmp_path / "results" / "stress"
    assert analysis(["stress", *map(str, parts), "--out", str(out), "--reps", "20"]) == 0
    levels = pd.read_csv(out / "levels.csv")
    assert set(levels["runs"]) == {2} and set(levels["strength"]) == {0.0, 0.5}
