"""Run folders without training: files of a run whose policy is freshly initialised."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.runs import checkpoint
from benchmarks.runs.files import SPEC_FILE
from benchmarks.runs.spec import RunSpec, to_dict
from benchmarks.training.launch import agent_for, environment
from tests.specs import spec_of

TASK = "tests.fakes.shore:shore"
ENV_STEPS, AGENT_STEPS = 3000, 600


def untrained_run(
    folder: Path,
    method: str = "bsrp_lag",
    seed: int = 3,
    *,
    task: str = TASK,
    obs: str = "default",
    weights: int | None = None,
    env_steps: int = ENV_STEPS,
) -> RunSpec:
    """Write a run folder as after `env_steps` of training; return its spec.

    `weights` is the seed of the parameters, by default that of the run.
    """
    spec = spec_of(method, obs, task=task, seed=seed)
    _, env_spec = environment(spec)
    state = agent_for(spec, env_spec).init(seed if weights is None else weights)
    counters = {"env_steps": env_steps, "agent_steps": AGENT_STEPS}
    meta = {"run_id": spec.run_id, "counters": counters}
    checkpoint.save(folder / "checkpoints", env_steps, {checkpoint.LEARNER: state}, meta)
    start = {"git": {"commit": "c0ffee"}, "versions": {"jax": "1"}, "hardware": {"cores": 2}}
    data = {"run_id": spec.run_id, "spec": to_dict(spec), "starts": [start]}
    (folder / SPEC_FILE).write_text(json.dumps(data))
    return spec
