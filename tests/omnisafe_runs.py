"""Runs of OmniSafe's algorithms on the toy shore, for tests.

`python -m tests.omnisafe_runs FOLDER` runs in a separate process.

Trains every algorithm, and some again with a stop, and writes the values that tests compare to
results.json. One process does it all, because importing torch and OmniSafe takes longer than a
training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import math
import sys
import traceback
from pathlib import Path
from typing import Any

from baselines.omnisafe.algorithms import ALGORITHMS
from benchmarks.methods import omnisafe_presets as presets
from benchmarks.process.signals import Stop
from benchmarks.runs.records import COLUMNS
from benchmarks.runs.spec import RunSpec
from tests.specs import spec_of, with_agent

TASK = "tests.fakes.shore:shore"
RESULTS = "results.json"
EPOCHS, REPEAT = 3, 2
ENV_STEPS = COLUMNS.index("env_steps")
PUBLISHED = ("ppo_lag", "ppo_simmer_pid", "td3_pid", "omnisafe_sac_lag")
EVALUATED = ("ppo_lag", "ppo_simmer_pid", "td3_pid", "cce_pets")
# Algorithms that are also stopped and continued: those that cover all kinds of state.
RESUMED = (
    "ppo",  # networks and their optimisers
    "cpo",  # natural gradients
    "ppo_lag",  # Lagrange multiplier
    "pdo",  # normalisers of rewards and costs
    "cppo_pid",  # PID controller of a multiplier
    "on_crpo",  # counts of the updates of rewards and of costs
    "ppo_saute",  # safety budget
    "ppo_simmer_pid",  # PID controller of a safety budget
    "ppo_early_terminated",  # cost of the episode
    "td3",  # replay, target networks, delayed updates
    "omnisafe_sac_lag",  # entropy temperature, Lagrange multiplier
    "ddpg_pid",  # PID controller of a multiplier
    "pets",  # dynamics models and planner
    "safe_loop",  # two replays; actor and critics for the planner
    "cap_pets",  # Lagrange multiplier of a planner
)


def toy_spec(name: str, num_envs: int = 1) -> RunSpec:
    """A run of a few short epochs; episodes have 20 simulator steps."""
    spec = spec_of(name, "default", task=TASK)
    kind = ALGORITHMS[name].family
    # On-policy epochs truncate an episode.
    length = {"on-policy": 25 * num_envs, "off-policy": 20, "model-based": 40}[kind]
    small = {"algo_cfgs.steps_per_epoch": length}
    if kind != "on-policy":
        small["algo_cfgs.start_learning_steps"] = 20
    if kind == "off-policy":
        small["algo_cfgs.batch_size"] = 8
    if kind == "model-based":
        small["algo_cfgs.update_dynamics_cycle"] = 20
    if hasattr(spec.agent.algo_cfgs, "update_policy_cycle"):
        small["algo_cfgs.update_policy_cycle"] = 10
    loop = dataclasses.replace(
        spec.loop,
        action_repeat=REPEAT,
        num_envs=num_envs,
        eval_every=25,
        eval_episodes=2,
        checkpoint_every=20,
    )
    steps = EPOCHS * length * (1 if kind == "model-based" else REPEAT)
    return with_agent(dataclasses.replace(spec, steps=steps, loop=loop), small)


def make_env(spec: RunSpec) -> Any:
    """Environment factory of the run.

    Images of a user environment are its `default` observation.
    """
    from benchmarks.envs import make_env as make

    return functools.partial(make, spec.task, "default", presets.budget(spec, 20).env_repeat)


class After(Stop):
    """Requests a stop after `questions` calls, and counts the calls."""

    def __init__(self, questions: float = math.inf) -> None:
        self.questions, self.asked = questions, 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked > self.questions


def run(spec: RunSpec, out: Path, **options: Any) -> Any:
    """Train in this process."""
    from benchmarks.omnisafe import loop

    return loop.train(spec, out, make_env(spec), loop.Options(**options))


def same_run(one: Path, other: Path) -> dict[str, bool]:
    """Whether two runs have the same records and metrics, apart from clocks."""
    return {
        name: _rows(one / name) == _rows(other / name) for name in ("episodes.csv", "metrics.jsonl")
    }


def _rows(path: Path) -> list[Any]:
    lines = path.read_text().splitlines()
    if path.suffix == ".csv":
        return [line.rsplit(",", 1)[0] for line in lines]
    clocks = ("Time/", "wall_seconds")
    return [
        {k: v for k, v in json.loads(line).items() if not k.startswith(clocks)} for line in lines
    ]


def trained(name: str, folder: Path) -> dict[str, Any]:
    """Train an algorithm; those of RESUMED again with a stop after 45 % of the stop checks."""
    spec, count = toy_spec(name), After()
    done = run(spec, folder / "undisturbed", stop=count)
    found = {"finished": done.finished, "env_steps": done.env_steps}
    if name not in RESUMED:
        return found
    stopped = run(spec, folder / "stopped", stop=After(0.45 * count.asked)).env_steps
    beyond = [
        row
        for row in _rows(folder / "stopped" / "episodes.csv")[1:]
        if int(row.split(",")[ENV_STEPS]) > stopped
    ]
    run(spec, folder / "stopped")
    same = same_run(folder / "undisturbed", folder / "stopped")
    return found | same | {"stopped": stopped, "beyond": beyond}


def several(folder: Path) -> dict[str, Any]:
    """Train with three environments: stopped half-way, and during the last evaluation."""
    spec, count = toy_spec("ppo_lag", num_envs=3), After()
    run(spec, folder / "a", stop=count)
    run(spec, folder / "b", stop=After(0.5 * count.asked))
    run(spec, folder / "b")
    late = run(spec, folder / "c", stop=After(count.asked - 2))
    finished = run(spec, folder / "c").finished
    saved = _saved(folder / "c")
    run(spec, folder / "c")
    return {
        "late": (late.env_steps == spec.steps, late.finished),
        "finished": finished,
        "saved again": _saved(folder / "c") != saved,
        "same": [
            *same_run(folder / "a", folder / "b").values(),
            *same_run(folder / "a", folder / "c").values(),
        ],
        "lines": len((folder / "a" / "episodes.csv").read_text().splitlines()),
    }


def _saved(out: Path) -> dict[str, int]:
    """When each file of the checkpoints was written."""
    return {str(path): path.stat().st_mtime_ns for path in (out / "checkpoints").rglob("*")}


def evaluated(name: str, folder: Path) -> dict[str, bool]:
    """Whether an evaluation of a trained policy leaves its plain state and arrays unchanged."""
    import numpy as np

    from baselines.omnisafe.policy import make_policy
    from benchmarks.methods.saved import newest
    from benchmarks.omnisafe import evaluate, evaluation

    spec = toy_spec(name)
    with contextlib.ExitStack() as stack:
        learner = evaluate.load_learner(spec, newest(folder).checkpoint, make_env(spec), stack)
        policy, before = make_policy(learner), learner.state()
        dict(
            evaluation.evaluate(
                policy, make_env(spec), run_seed=0, env_steps=0, episodes=3, on_fault=print
            )
        )
        after = policy.learner.state()
    same = all(np.array_equal(before.arrays[key], after.arrays[key]) for key in before.arrays)
    return {"plain": before.plain == after.plain, "arrays": same and bool(before.arrays)}


def published(name: str, folder: Path) -> dict[str, Any]:
    """What the zoo stores of a trained policy, and whether its episodes match those of the run."""
    import numpy as np

    from benchmarks.omnisafe import evaluate, publish
    from benchmarks.runs.records import read_rows

    spec, files = toy_spec(name), [str(folder / file) for file in ("policy.npz", "kept.json")]
    publish.write_kept(spec, folder, make_env(spec), *files)
    about = json.loads(Path(files[1]).read_text())
    entry = {"file": files[0], "env_steps": spec.steps, "agent_steps": 0}
    played = []
    for source in (None, entry):
        out = str(folder / "played.csv")
        evaluate.evaluate_run(spec, folder, make_env(spec), 3, out, published=source)
        played.append([(row.split, row.return_, row.cost) for row in read_rows(out).records])
    numbers = [[row[1:] for row in rows] for rows in played]
    same = [row[0] for row in played[0]] == [row[0] for row in played[1]]
    return {
        "share": about["count"] / about["of"],
        "dtype": about["dtype"],
        "error": about["error"],
        "same": same and bool(np.allclose(*numbers, rtol=0.02, atol=0.02)),
    }


def main() -> None:
    """Write the results of all algorithms."""
    from benchmarks.envs.compat import import_safety_gymnasium

    import_safety_gymnasium()
    out, results = Path(sys.argv[1]), {}
    for name in ALGORITHMS:
        try:
            results[name] = trained(name, out / name)
        except Exception:  # noqa: BLE001 (a test reports it)
            results[name] = {"error": traceback.format_exc()}
    found = {
        "results": results,
        "several": several(out / "several"),
        "evaluated": {name: evaluated(name, out / name / "undisturbed") for name in EVALUATED},
        "published": {name: published(name, out / name / "undisturbed") for name in PUBLISHED},
        "jax": "jax" in sys.modules,
    }
    (out / RESULTS).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
