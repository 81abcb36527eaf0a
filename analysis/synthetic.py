"""Made-up results whose true answers are known.

For tests of the statistics, and to try figures and reports at full size.

Every method has a true final return and cost per task; runs deviate from these by their seed,
episodes by random noise:

    return = R[method, task] * progress + seed_std * z_seed + episode_std * z_episode
    cost ~ Poisson(mean = C[method, task] * (1 + start_excess * (1 - progress)) * s_seed), s_seed
    lognormal with mean 1

`progress` grows from 0 to 1 over the first 80 % of the budget, so that the means of the last
evaluations are exactly R and C.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.results.assemble import assemble
from analysis.results.frames import IDENTITY, Results
from analysis.results.labels import GIVEN, split_label
from benchmarks.runs.files import RECORDS_FILE, SPEC_FILE, SWEEP_FILE
from benchmarks.runs.records import COLUMNS, EVAL, TRAIN

# (true return as a share of the task's scale, true cost); the first two are unconstrained
METHODS = {
    "dreamerv3": (0.95, 60.0),
    "cem": (0.70, 55.0),
    "osrp": (0.72, 1.2),
    "osrp_lag": (0.80, 0.8),
    "bsrp_lag": (0.76, 1.6),
    "lambda": (0.55, 12.0),
    "safe_slac": (0.50, 9.0),
    "ppo": (1.00, 70.0),
    "ppo_lag": (0.45, 26.0),
    "trpo_lag": (0.48, 24.0),
    "cpo": (0.52, 30.0),
    "focops": (0.40, 22.0),
}
TASKS = (
    *((f"Safety{agent}{name}{level}-v0", "vision") for agent, name, level in itertools.product(
        ("Point", "Car", "Racecar"), ("Goal", "Button", "Push"), (1, 2)
    )),
    ("SafetyPointGoal1-v0", "coordinates"),
    ("SafetyCarGoal1-v0", "coordinates"),
)  # fmt: skip
SOURCES = {given: source for source, given in GIVEN.items()}
EPISODE_STEPS = 1000
PLATEAU = 0.8  # share of the budget after which return and cost stay constant


@dataclasses.dataclass(frozen=True)
class SyntheticConfig:
    """Size and noise of made-up results."""

    # the first of METHODS, or labels: "osrp", "osrp [variant]", "osrp (tracked hazards)"
    methods: int | tuple[str, ...] = 12
    tasks: int | tuple[tuple[str, str], ...] = 20  # the first of TASKS, or (task, obs)
    seeds: int = 5
    steps: int = 500_000  # simulator steps; every training episode is recorded
    evaluations: int = 20
    eval_episodes: int = 10
    cost_limit: float = 2.0
    seed_std: float = 1.0  # of a run's level of return
    seed_spread: float = 0.3  # of a run's level of cost: standard deviation of its logarithm
    episode_std: float = 3.0
    start_excess: float = 4.0  # how many times more cost there is at the start
    rng: int = 0

    def method_names(self) -> tuple[str, ...]:
        return tuple(METHODS)[: self.methods] if isinstance(self.methods, int) else self.methods

    def task_names(self) -> tuple[tuple[str, str], ...]:
        return TASKS[: self.tasks] if isinstance(self.tasks, int) else self.tasks


def truth(config: SyntheticConfig = SyntheticConfig()) -> pd.DataFrame:
    """The known answers: `method` (label), `task`, `obs`, true final `return`, `cost`, and
    `feasible` (cost <= limit).
    """
    rows = [
        (name, task, obs, *_levels(name, task, obs))
        for name in config.method_names()
        for task, obs in config.task_names()
    ]
    table = pd.DataFrame(rows, columns=["method", "task", "obs", "return", "cost"])
    return table.assign(feasible=table["cost"] <= config.cost_limit)


def results(**fields: Any) -> Results:
    """Results as `analysis.read.load.load` returns them, of a SyntheticConfig with these fields."""
    config = SyntheticConfig(**fields)
    rng = np.random.default_rng(config.rng)
    frames, facts = [], []
    for name, (task, obs), seed in itertools.product(
        config.method_names(), config.task_names(), range(config.seeds)
    ):
        method, given, variant = split_label(name)
        fact = {
            "run": f"runs/{task}-{obs}-{name}-seed{seed}",
            "run_id": f"{zlib.crc32(f'{name}/{task}/{obs}/{seed}'.encode()):08x}{seed:02x}",
            "method": method,
            "variant": variant,
            "cost_source": SOURCES.get(given, ""),
            "task": task,
            "obs": obs,
            "seed": seed,
            "preset": "release",
            "suites": "synthetic",
            "tags": "synthetic",
            "state": "finished",
            "budget_env_steps": float(config.steps),
            "cost_limit": config.cost_limit,
            "notes": "",
        }
        frames.append(_episodes(config, fact, _levels(name, task, obs), rng))
        facts.append(fact)
    return assemble(pd.concat(frames, ignore_index=True), facts)


def write(folder: Path | str, made: Results | None = None) -> Path:
    """Write the results as run folders like those of a sweep.

    `FOLDER/runs/...` with spec.json, sweep.json and episodes.csv.
    """
    made = made or results()
    episodes = dict(iter(made.episodes.groupby("run", sort=False)))
    for row in made.runs.to_dict("records"):
        run = Path(folder) / re.sub(r"[\[\],]", "", row["run"].replace(" ", "-"))
        run.mkdir(parents=True, exist_ok=True)
        spec = {key: row[key] for key in ("method", "task", "obs", "preset")}
        spec |= {
            "seed": int(row["seed"]),
            "steps": int(row["budget_env_steps"]),
            "agent": {
                "cost_limit": row["cost_limit"],
                "model": {"cost_source": row["cost_source"]},
            },
        }
        (run / SPEC_FILE).write_text(
            json.dumps({"run_id": row["run_id"], "spec": spec, "starts": []}), encoding="utf-8"
        )
        about = {
            "suites": row["suites"].split(","),
            "tags": row["tags"].split(","),
            "variant": row["variant"],
        }
        (run / SWEEP_FILE).write_text(json.dumps(about), encoding="utf-8")
        if row["run"] in episodes:
            episodes[row["run"]][list(COLUMNS)].to_csv(
                run / RECORDS_FILE, index=False, lineterminator="\n"
            )
    return Path(folder)


def _levels(name: str, task: str, obs: str) -> tuple[float, float]:
    """True final return and cost.

    Known methods keep their order on every task; the levels of a variant or new name follow from a
    hash of the name.
    """
    task_scale = 15.0 + zlib.crc32(f"{task}/{obs}".encode()) % 11
    hashed = zlib.crc32(name.encode())
    share, cost = METHODS.get(
        name, (0.4 + 0.5 * (hashed % 101) / 100, 0.5 + (hashed // 101) % 40 / 10)
    )
    return share * task_scale, cost


def _episodes(
    config: SyntheticConfig,
    fact: dict[str, object],
    levels: tuple[float, float],
    rng: np.random.Generator,
) -> pd.DataFrame:
    points = config.evaluations
    eval_steps = np.repeat(
        np.linspace(config.steps / points, config.steps, points), config.eval_episodes
    )
    train_steps = np.arange(EPISODE_STEPS, config.steps + 1, EPISODE_STEPS)
    env_steps = np.concatenate([train_steps, eval_steps]).round().astype(np.int64)
    progress = np.minimum(1.0, env_steps / (PLATEAU * config.steps)) ** 0.5
    level = config.seed_std * rng.standard_normal()
    spread = config.seed_spread
    factor = np.exp(spread * rng.standard_normal() - spread**2 / 2)
    noise = config.episode_std * rng.standard_normal(len(env_steps))
    returns = levels[0] * progress + level + noise
    excess = 1.0 + config.start_excess * (1.0 - progress)
    costs = rng.poisson(levels[1] * excess * factor).astype(float)
    about = {column: fact[column] for column in ("run", *IDENTITY)}
    frame = pd.DataFrame(about, index=range(len(env_steps)))
    frame["split"] = np.repeat([TRAIN, EVAL], [len(train_steps), len(eval_steps)])
    frame["episode"] = np.concatenate(
        [np.arange(len(train_steps)), np.tile(np.arange(config.eval_episodes), points)]
    )
    frame["env_steps"], frame["agent_steps"] = env_steps, env_steps // 4
    frame["return"], frame["cost"], frame["length"] = returns, costs, EPISODE_STEPS
    frame["wall_seconds"] = env_steps / 50.0
    return frame.sort_values("env_steps", kind="stable", ignore_index=True)


def main(argv: Sequence[str] | None = None) -> None:
    """`python -m analysis.synthetic DIR`: write made-up results."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis.synthetic", description=__doc__.splitlines()[0]
    )
    parser.add_argument("out", type=Path, help="folder for the run folders")
    for name in ("methods", "tasks", "seeds"):
        parser.add_argument(f"--{name}", type=int, default=getattr(SyntheticConfig, name))
    args = parser.parse_args(argv)
    made = results(methods=args.methods, tasks=args.tasks, seeds=args.seeds)
    print(f"{len(made.runs)} runs with {len(made.episodes):,} episodes in {write(args.out, made)}")


if __name__ == "__main__":
    main()
