"""Off-policy methods with and without a learned model: loop and replay under each preset.

Sizes of the agents: baselines.mbpo.presets. A batch is windows of two rows, one transition each.
SAC, Dyna and MVE make one update per agent step, MBPO 20 in `release` and `matched`, as published.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from agents.api import Agent, EnvSpec
from baselines.mbpo.config import MBPOConfig
from baselines.mbpo.presets import agent_config
from benchmarks.methods.loops import SHARED
from benchmarks.methods.method import Method, Settings
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import LoopConfig, ReplayConfig, RunSpec

_SAC = "Haarnoja et al. 2018, arXiv:1801.01290"
_MBPO = "Janner et al. 2019, arXiv:1906.08253"
_DYNA = "Sutton 1990 (ICML)"
_MVE = "Feinberg et al. 2018, arXiv:1803.00101"
_ROWS = {  # name: (summary, paper)
    "sac": ("soft actor-critic, in JAX; OmniSafe's is omnisafe_sac", _SAC),
    "mbpo": ("SAC on short branched rollouts in an ensemble", _MBPO),
    "dyna": ("SAC on one-step rollouts in an ensemble that is learned online", _DYNA),
    "mve": ("SAC whose targets are expanded over imagined steps", _MVE),
}
_PUBLISHED = {  # preset -> simulator steps, action repeat
    "release": (1_000_000, 1),
    "matched": (2_000_000, 4),
}
_ROWS_OF_A_BATCH = 2  # rows of a window: one transition


def _loop(name: str, preset: str) -> tuple[int, LoopConfig, ReplayConfig]:
    """Simulator steps, loop and replay."""
    batch = {"cpu": 128, "debug": 6}.get(preset, 256)
    updates = 20 if name == "mbpo" and preset in _PUBLISHED else 1
    changes = {
        "batch_size": batch,
        "batch_length": _ROWS_OF_A_BATCH,
        "train_ratio": float(updates * batch * _ROWS_OF_A_BATCH),
    }
    if preset in SHARED:
        steps, loop, replay = SHARED[preset]
        return steps, dataclasses.replace(loop, **changes), replay
    steps, repeat = _PUBLISHED[preset]
    loop = LoopConfig(
        num_envs=1,
        action_repeat=repeat,
        prefill=5000,
        eval_every=25_000 // repeat,
        eval_episodes=10,
        **changes,
    )
    return steps, loop, ReplayConfig()


def _make(config: Any, env: EnvSpec) -> Agent:
    from baselines.mbpo.agent import MBPO

    return MBPO(config, env)


def _check(spec: RunSpec) -> None:
    """Raise BadInput if a batch has fewer transitions than an update reads."""
    rows = spec.loop.batch_size * (spec.loop.batch_length - 1)
    rollout, model = spec.agent.rollout, spec.agent.model
    if rollout.longest and rollout.starts > rows:
        raise BadInput(
            f"rollout.starts={rollout.starts} exceeds the {rows} transitions of a batch: "
            f"--loop.batch-size {rollout.starts} or more"
        )
    if (
        spec.agent.uses_model
        and model.fit == "converge"
        and min(model.window, model.holdout) < rows
    ):
        raise BadInput(
            f"model.window={model.window} and model.holdout={model.holdout} must each hold the "
            f"{rows} transitions of a batch"
        )


def _method(name: str) -> Method:
    summary, paper = _ROWS[name.removesuffix("_lag")]
    constrained = name.endswith("_lag")

    def make_settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
        del obs, hazard_radius, task
        return Settings(*_loop(name.removesuffix("_lag"), preset), agent_config(name, preset))

    return Method(
        name=name,
        family="mbpo",
        kind="off-policy" if name.startswith("sac") else "model-based",
        summary=f"{summary}; a multiplier on a cost critic" if constrained else summary,
        constrains="mean episode cost, by a multiplier on a cost critic"
        if constrained
        else "nothing: maximises reward",
        paper=paper,
        observations=("coordinates", "lidar", "default"),
        presets=(*_PUBLISHED, *SHARED),
        action_repeat=1,
        load_config_type=lambda obs: MBPOConfig,
        make_settings=make_settings,
        make_agent=_make,
        check=_check,
        no_pictures="the model of its family predicts the next observation itself, which is for "
        "vectors only",
    )


ALL = {name: _method(name) for row in _ROWS for name in (row, f"{row}_lag")}
