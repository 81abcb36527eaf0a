"""Hand-made run folders for the tests of the analysis."""

from __future__ import annotations

import json

from benchmarks.runs.files import RECORDS_FILE
from benchmarks.runs.records import EVAL, TRAIN, EpisodeRecord, RecordWriter

TASK, OBS = "SafetyPointGoal1-v0", "coordinates"


def write_run(
    folder,
    method,
    seed=0,
    *,
    evals=(),
    train=(),
    steps=4000,
    cost_limit=2.0,
    run_id="",
    task=TASK,
    obs=OBS,
    spec=True,
):
    """Write a run folder as the training loop does.

    `evals` and `train` hold (env_steps, return, cost).
    """
    folder.mkdir(parents=True, exist_ok=True)
    run_id = run_id or f"{folder.name}-id"
    if spec:
        settings = {
            "method": method,
            "task": task,
            "obs": obs,
            "seed": seed,
            "steps": steps,
            "agent": {"cost_limit": cost_limit},
        }
        (folder / "spec.json").write_text(
            json.dumps({"run_id": run_id, "spec": settings, "starts": []})
        )
    rows = [(TRAIN, i, *row) for i, row in enumerate(train)] + [
        (EVAL, i, *row) for i, row in enumerate(evals)
    ]
    if rows:
        with RecordWriter(folder / RECORDS_FILE) as writer:
            for split, episode, env_steps, ret, cost in rows:
                of = (run_id, method, task, obs, seed, split, episode)
                writer.write(
                    EpisodeRecord(
                        *of, env_steps, env_steps // 5, ret, cost, 1000, wall_seconds=env_steps / 10
                    )
                )
    return folder


def run_row(results, name):
    """The row of the only run whose folder name ends with `name`."""
    (row,) = results.runs[results.runs["run"].str.endswith(name)].to_dict("records")
    return row


def write_sweep(folder):
    """Write three OSRP seeds with final returns 10, 12, 14, and one unsafe DreamerV3 run."""
    for seed, last in enumerate((10.0, 12.0, 14.0)):
        evals = [
            (2000, 4.0, 9.0),
            (2000, 6.0, 7.0),
            (4000, last - 1.0, 1.0),
            (4000, last + 1.0, 3.0),
        ]
        train = [(1000, 1.0, 20.0), (2000, 3.0, 10.0), (3000, 5.0, 6.0), (4000, 7.0, 4.0)]
        write_run(folder / f"osrp-{seed}", "osrp", seed, evals=evals, train=train)
    write_run(
        folder / "dreamerv3-0",
        "dreamerv3",
        evals=[(4000, 20.0, 50.0), (4000, 22.0, 60.0)],
        train=[(4000, 18.0, 55.0)],
    )
    return folder
