"""What the suite's side of a run of OmniSafe costs: `python -m benchmarks.perf.omnisafe [--method ppo_lag] [--pairs 3]`.

Pairs of runs with the same settings, one by OmniSafe's own `Agent` on its own environment, one by the suite without evaluations, each
in a process of its own and alternating, so that both see the same machine. Seconds are those of training, start and imports aside.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

from baselines.omnisafe import config as configs
from baselines.omnisafe.algorithms import ALGORITHMS
from benchmarks.methods import settings
from benchmarks.spec import RunSpec


@dataclasses.dataclass(frozen=True)
class Overhead:
    """Time both."""

    method: str = "ppo_lag"
    """Algorithm of the on-policy or off-policy family."""
    task: str = "SafetyPointGoal1-v0"
    """Task id."""
    steps: int = 20_000
    """Simulator steps of a run."""
    steps_per_epoch: int = 20_000
    """Of an epoch."""
    start_learning_steps: int = 1000
    """Random actions first, for the off-policy family."""
    pairs: int = 3
    """Runs of each."""
    out: str = ""
    """Folder for omnisafe-METHOD.json; printed only if empty."""
    only: str = ""
    """For its own use: the run that a process makes."""


def spec_of(chosen: Overhead) -> RunSpec:
    """The run, without evaluations."""
    preset = settings(chosen.method, "lidar", "release", task=chosen.task)
    changes = {"algo_cfgs__steps_per_epoch": chosen.steps_per_epoch}
    if ALGORITHMS[chosen.method].family == "off-policy":
        changes["algo_cfgs__start_learning_steps"] = chosen.start_learning_steps
    loop = dataclasses.replace(preset.loop, eval_episodes=0)
    agent = configs.replace(preset.agent, **changes)
    return RunSpec(chosen.method, chosen.task, "lidar", 0, chosen.steps, "release", loop, preset.replay, agent)


def by_omnisafe(chosen: Overhead) -> float:
    """Seconds of OmniSafe's own training."""
    import omnisafe

    spec, row = spec_of(chosen), ALGORITHMS[chosen.method]
    algo: dict[str, object] = {"steps_per_epoch": chosen.steps_per_epoch}
    train: dict[str, object] = {"total_steps": chosen.steps, "torch_threads": spec.agent.train_cfgs.torch_threads}
    if row.family == "off-policy":
        algo["start_learning_steps"] = chosen.start_learning_steps
        train["eval_episodes"] = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        agent = omnisafe.Agent(row.omnisafe, chosen.task, custom_cfgs={"train_cfgs": train, "algo_cfgs": algo})
        start = time.perf_counter()
        agent.agent.learn()
        return time.perf_counter() - start


def by_the_suite(chosen: Overhead) -> float:
    """Seconds of the same training here, checkpoints and records included."""
    from benchmarks.envs import make_env
    from benchmarks.omnisafe import loop

    spec, seconds = spec_of(chosen), []
    run = loop.Loop.run

    def timed(self: loop.Loop) -> loop.Result:
        start = time.perf_counter()
        result = run(self)
        seconds.append(time.perf_counter() - start)
        return result

    loop.Loop.run = timed
    with tempfile.TemporaryDirectory() as folder:
        loop.train(spec, Path(folder) / "run", functools.partial(make_env, spec.task, spec.obs, 1))
    return seconds[0]


def main(chosen: Overhead) -> int:
    """Print a line per pair and the medians; returns 0."""
    if chosen.only:
        from benchmarks.envs.compat import import_safety_gymnasium

        import_safety_gymnasium()
        print(json.dumps({"seconds": {"omnisafe": by_omnisafe, "suite": by_the_suite}[chosen.only](chosen)}))
        return 0
    found: dict[str, list[float]] = {"omnisafe": [], "suite": []}
    for pair in range(chosen.pairs):
        for who in sorted(found, reverse=bool(pair % 2)):
            command = [sys.executable, "-m", "benchmarks.perf.omnisafe", *sys.argv[1:], "--only", who]
            printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[who].append(chosen.steps / json.loads(printed.splitlines()[-1])["seconds"])
        print(" ".join(f"{who} {rates[-1]:.1f} steps/s" for who, rates in found.items()), flush=True)
    rates = {who: statistics.median(values) for who, values in found.items()}
    ratios = [a / b - 1.0 for a, b in zip(found["omnisafe"], found["suite"], strict=True)]
    overhead = statistics.median(ratios)
    print(
        f"median: OmniSafe {rates['omnisafe']:.1f}, suite {rates['suite']:.1f} simulator steps/s; overhead {100 * overhead:.1f} %"
    )
    if chosen.out:
        result = {
            "method": chosen.method,
            "task": chosen.task,
            "steps": chosen.steps,
            "steps_per_second": found,
            "overhead": overhead,
        }
        path = Path(chosen.out) / f"omnisafe-{chosen.method}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Overhead)))
