"""Runs of OmniSafe's methods on images of the ferry, for tests.

`python -m tests.omnisafe_vision_runs FOLDER`.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import traceback
from pathlib import Path
from typing import Any

from benchmarks.runs.spec import RunSpec
from tests.fakes.ferry import EPISODE_ENV_STEPS, LIMIT
from tests.omnisafe_runs import After, run, same_run
from tests.specs import spec_of, with_agent

TASK = "tests.fakes.ferry:ferry"
SMALL = {
    "vision.frame_stack": 2,
    "vision.channels": (8, 16),
    "vision.kernels": (4, 3),
    "vision.strides": (2, 2),
    "vision.features": 32,
}
# One algorithm of each kind: first-order gradients with several environments, natural gradients,
# a safety budget appended to the observation, early termination.
RESUMED = ("ppo_lag", "cpo", "ppo_simmer_pid", "ppo_early_terminated")


def ferry_spec(name: str, steps: int, changes: dict[str, Any], num_envs: int = 1) -> RunSpec:
    """A run on images with changed settings of the agent, by dotted name."""
    spec = spec_of(name, "vision", task=TASK)
    loop = dataclasses.replace(
        spec.loop,
        action_repeat=1,
        num_envs=num_envs,
        eval_every=steps,
        eval_episodes=2,
        checkpoint_every=20,
    )
    return with_agent(dataclasses.replace(spec, steps=steps, loop=loop), SMALL | changes)


def learn_spec() -> RunSpec:
    """PPO-Lag settings that solve the ferry in less than a minute on one core."""
    rows = 64 * EPISODE_ENV_STEPS
    spec = ferry_spec(
        "ppo_lag",
        12 * rows,
        num_envs=8,
        changes={
            "cost_limit": LIMIT,
            "algo_cfgs.steps_per_epoch": rows,
            "algo_cfgs.update_iters": 4,
            "algo_cfgs.batch_size": 64,
            "algo_cfgs.target_kl": 0.05,
            "algo_cfgs.gamma": 0.5,
            "algo_cfgs.cost_gamma": 0.5,
            "algo_cfgs.max_grad_norm": 0.5,
            "model_cfgs.actor.lr": 6e-4,
            "model_cfgs.critic.lr": 1e-3,
            "lagrange_cfgs.lagrangian_multiplier_init": 1.8,
            "lagrange_cfgs.lambda_lr": 0.05,
        },
    )
    loop = dataclasses.replace(spec.loop, eval_episodes=64, checkpoint_every=spec.steps)
    return dataclasses.replace(spec, loop=loop)


def twice(name: str, folder: Path) -> dict[str, Any]:
    """Train an algorithm undisturbed, and again with a stop in the middle of an epoch."""
    num_envs = 2 if name == "ppo_lag" else 1
    rows = 40 * num_envs
    spec = ferry_spec(name, 3 * rows, {"algo_cfgs.steps_per_epoch": rows}, num_envs=num_envs)
    count = After()
    done = run(spec, folder / "undisturbed", stop=count)
    stopped = run(spec, folder / "stopped", stop=After(0.6 * count.asked)).env_steps
    run(spec, folder / "stopped")
    return {"finished": done.finished, "stopped": stopped} | same_run(
        folder / "undisturbed", folder / "stopped"
    )


def main() -> None:
    """Write the results of resumed runs, and train one run until it has learned."""
    from benchmarks.envs.compat import import_safety_gymnasium

    import_safety_gymnasium()
    out, results = Path(sys.argv[1]), {}
    for name in RESUMED:
        try:
            results[name] = twice(name, out / name)
        except Exception:  # noqa: BLE001 (a test reports it)
            results[name] = {"error": traceback.format_exc()}
    (out / "results.json").write_text(json.dumps(results))
    run(learn_spec(), out / "learn")


if __name__ == "__main__":
    main()
