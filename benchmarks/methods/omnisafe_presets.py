"""The presets of OmniSafe's algorithms, and checks of a run's settings.

release  OmniSafe's settings, including those for single tasks, and its action repeat: comparable
         with its published results
matched  the action repeat and the cost limit of our agents; lengths that OmniSafe counts in actions
         stay the same in simulator steps
cpu      release in shorter epochs, for a machine with two cores
debug    runs in seconds; learns nothing

`eval_every` and `checkpoint_every` count actions, as everywhere. The on-policy family checks them
at the end of an epoch.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from agents.settings import replaced
from baselines.omnisafe import config as configs
from baselines.omnisafe.algorithms import ALGORITHMS, SINGLE_ENV, Algorithm
from benchmarks.methods.method import Settings
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import LoopConfig, ReplayConfig, RunSpec
from benchmarks.tasks import PAPER_COST_LIMIT, get_task


class Schedule(NamedTuple):
    """A preset's budget and loop; None stands for OmniSafe's own value."""

    env_steps: int | None
    repeat: int | None
    eval_env_steps: int = 100_000  # between evaluations
    eval_episodes: int = 10
    checkpoint_every: int = 20_000


SCHEDULES = {
    "release": Schedule(None, None),
    "matched": Schedule(2_000_000, 4),  # the action repeat of bsrp_lag and osrp_lag
    "cpu": Schedule(1_000_000, None, 50_000, 5),
    "debug": Schedule(4000, 5, 2000, 1, 400),
}

# OmniSafe has no settings for images. Release and matched keep those for vectors, with an encoder
# in front; cpu has a smaller encoder and fewer passes over an epoch. Conjugate gradients
# differentiate twice and keep the activations for that, which do not fit in memory for the 20000
# stacks of an epoch: they estimate the curvature from every n-th row, by OmniSafe's own setting.
VISION = "vision"
CURVATURE_ROWS = 1000
CPU_UPDATE_ITERS = 10
SMALL_ENCODER = {
    "cpu": {"vision.channels": (16, 32, 32), "vision.features": 128},
    "debug": {
        "vision.channels": (8, 8),
        "vision.kernels": (8, 4),
        "vision.strides": (4, 2),
        "vision.features": 16,
    },
}

# Our settings that OmniSafe replaces by its own, or that do not apply to it -> what to use instead.
ELSEWHERE = {
    "loop.prefill": "algo_cfgs.start_learning_steps",
    "loop.train_ratio": "algo_cfgs.update_iters, algo_cfgs.update_cycle",
    "loop.batch_size": "algo_cfgs.batch_size",
    "loop.batch_length": "nothing: its networks see one step",
    "loop.log_every": "algo_cfgs.steps_per_epoch: it writes a row of metrics for every epoch",
    "loop.truncation_is_terminal": "nothing: it tells the two apart",
    "replay.capacity": "algo_cfgs.size",
    "replay.directory": "nothing: it keeps its replay in memory",
}


def settings(name: str, preset: str, task: str, obs: str = "lidar") -> Settings:
    """The defaults of an algorithm on a task. Raises BadInput if OmniSafe is not installed."""
    try:
        config = configs.defaults(name, task, obs == VISION)
    except ValueError as error:
        raise BadInput(str(error)) from error
    # the networks are small: further threads only wait for each other; results do not change
    config = replaced(config, {"train_cfgs.torch_threads": 1})
    config = replaced(config, _changes(ALGORITHMS[name], config, preset))
    if obs == VISION:
        config = _with_vision(config, preset)
    schedule = SCHEDULES[preset]
    loop = _loop(schedule, schedule.repeat or configs.published_action_repeat(name, task))
    steps = schedule.env_steps or configs.published_steps(name)
    return Settings(steps, loop, ReplayConfig(), config)


def _changes(row: Algorithm, config: Any, preset: str) -> dict[str, Any]:
    """What a preset changes in OmniSafe's settings."""
    algo, changes = config.algo_cfgs, {}
    if preset == "matched":
        if row.constrained:
            changes["cost_limit"] = PAPER_COST_LIMIT
        if not configs.counts_simulator_steps(row.name):  # the same lengths in simulator steps
            for name in ("steps_per_epoch", "start_learning_steps"):
                if hasattr(algo, name):
                    changes[f"algo_cfgs.{name}"] = getattr(algo, name) // SCHEDULES[preset].repeat
    elif preset == "cpu":
        length = 1000 if row.family == "off-policy" else 5000
        changes["algo_cfgs.steps_per_epoch"] = length
        if hasattr(algo, "warmup_epochs"):  # counted in epochs; as many steps as in the release
            changes["algo_cfgs.warmup_epochs"] = algo.warmup_epochs * algo.steps_per_epoch // length
    elif preset == "debug":
        tiny = _TINY | _TINY_OF_FAMILY[row.family]
        changes = {key: value for key, value in tiny.items() if _has(config, key)}
    return changes


def _with_vision(config: Any, preset: str) -> Any:
    """Set the encoder's size, and adapt OmniSafe's settings that are infeasible for images."""
    changes: dict[str, Any] = dict(SMALL_ENCODER.get(preset, {}))
    if preset == "cpu" and hasattr(config.algo_cfgs, "update_iters"):
        changes["algo_cfgs.update_iters"] = min(config.algo_cfgs.update_iters, CPU_UPDATE_ITERS)
    if hasattr(config.algo_cfgs, "fvp_sample_freq"):
        rows = config.algo_cfgs.steps_per_epoch
        changes["algo_cfgs.fvp_sample_freq"] = max(
            config.algo_cfgs.fvp_sample_freq, math.ceil(rows / CURVATURE_ROWS)
        )
    return replaced(config, changes)


def _loop(schedule: Schedule, repeat: int) -> LoopConfig:
    return LoopConfig(
        num_envs=1,
        action_repeat=repeat,
        batch_size=1,
        batch_length=2,
        eval_every=schedule.eval_env_steps // repeat,
        eval_episodes=schedule.eval_episodes,
        checkpoint_every=schedule.checkpoint_every,
        env_workers="inline",
    )


_TINY = {  # setting -> small value, for algorithms that have the setting
    "algo_cfgs.batch_size": 32,
    "algo_cfgs.size": 4000,
    "algo_cfgs.warmup_epochs": 0,
    "algo_cfgs.update_dynamics_cycle": 500,
    "algo_cfgs.update_policy_iters": 1,
    "algo_cfgs.policy_batch_size": 16,
    "dynamics_cfgs.batch_size": 16,
    "dynamics_cfgs.num_ensemble": 2,
    "dynamics_cfgs.elite_size": 2,
    "dynamics_cfgs.hidden_size": 16,
    "dynamics_cfgs.max_epoch": 1,
    "planner_cfgs.plan_horizon": 3,
    "planner_cfgs.num_iterations": 1,
    "planner_cfgs.num_particles": 2,
    "planner_cfgs.num_samples": 10,
    "planner_cfgs.num_elites": 4,
    "planner_cfgs.mixture_coefficient": 0.2,
}
_TINY_OF_FAMILY = {
    "on-policy": {"algo_cfgs.steps_per_epoch": 400, "algo_cfgs.update_iters": 2},
    "off-policy": {"algo_cfgs.steps_per_epoch": 200, "algo_cfgs.start_learning_steps": 200},
    "model-based": {
        "algo_cfgs.steps_per_epoch": 1000,
        "algo_cfgs.start_learning_steps": 1000,
        "algo_cfgs.update_iters": 2,
    },
}


def _has(config: Any, key: str) -> bool:
    section, name = key.split(".")
    return hasattr(getattr(config, section, None), name)


class Budget(NamedTuple):
    """A run's steps as OmniSafe counts them."""

    total_steps: int  # actions, or simulator steps of the model-based family
    episode_steps: int
    env_steps_per_step: int  # simulator steps per counted step
    omnisafe_repeat: int  # action repeat applied by OmniSafe
    env_repeat: int  # action repeat applied by the environment


def budget(spec: RunSpec, episode_env_steps: int) -> Budget:
    """A run's step budget as OmniSafe counts it."""
    repeat = spec.loop.action_repeat
    if configs.counts_simulator_steps(spec.method):
        return Budget(spec.steps, episode_env_steps, 1, repeat, 1)
    return Budget(spec.steps // repeat, math.ceil(episode_env_steps / repeat), repeat, 1, repeat)


def check(spec: RunSpec, episode_env_steps: int | None = None) -> None:
    """Raise BadInput, with the fix, for settings that OmniSafe would ignore, drop, hang on or turn
    into NaN.

    The episode length defaults to that of the registered task; checks that depend on it are skipped
    if it is unknown (a user's own environment).
    """
    episode_env_steps = episode_env_steps or get_task(spec.task).episode_env_steps
    _check_settings(spec)
    _check_envs(spec)
    _check_budget(spec)
    if episode_env_steps is not None:
        _check_epochs(spec, episode_env_steps)


def _check_settings(spec: RunSpec) -> None:
    plain = {"loop": _loop(SCHEDULES["release"], 1), "replay": ReplayConfig()}
    for name, instead in ELSEWHERE.items():
        part, field = name.split(".")
        if getattr(getattr(spec, part), field) != getattr(plain[part], field):
            raise BadInput(f"{name} does nothing for {spec.method}; instead: {instead}")
    if spec.init_from:
        raise BadInput(
            f"--init-from reads checkpoints of SafeDreamer's authors; {spec.method} has none"
        )
    if "algo_cfgs.safety_budget" in ALGORITHMS[spec.method].limit and spec.agent.cost_limit == 0:
        raise BadInput(
            f"{spec.method} observes the share of the cost limit that is left, and divides by it: "
            "--cost-limit above 0"
        )
    if spec.obs == VISION and spec.agent.algo_cfgs.obs_normalize:
        raise BadInput(
            "algo_cfgs.obs_normalize is not for images: the encoder scales them; "
            "--algo-cfgs.no-obs-normalize"
        )


def _check_envs(spec: RunSpec) -> None:
    if spec.loop.num_envs == 1:
        return
    family = ALGORITHMS[spec.method].family
    if family == "on-policy" and spec.method not in SINGLE_ENV:
        if spec.agent.algo_cfgs.steps_per_epoch % spec.loop.num_envs:
            raise BadInput(
                f"algo_cfgs.steps_per_epoch={spec.agent.algo_cfgs.steps_per_epoch} must be a "
                f"multiple of loop.num_envs={spec.loop.num_envs}"
            )
        return
    why = (
        "hangs in OmniSafe with more than one environment"
        if family == "off-policy"
        else "is made for one environment"
    )
    raise BadInput(f"{spec.method} {why}: --loop.num-envs 1, not {spec.loop.num_envs}")


def _check_budget(spec: RunSpec) -> None:
    algo = spec.agent.algo_cfgs
    unit = algo.steps_per_epoch * (
        1 if configs.counts_simulator_steps(spec.method) else spec.loop.action_repeat
    )
    if spec.steps % unit:
        below, above = spec.steps // unit * unit, (spec.steps // unit + 1) * unit
        nearest = f"--steps {above}" if below == 0 else f"--steps {below} or {above}"
        raise BadInput(
            f"steps={spec.steps} is not a whole number of epochs of {unit} simulator steps, and "
            f"OmniSafe drops the rest: {nearest}, or another --algo-cfgs.steps-per-epoch (now "
            f"{algo.steps_per_epoch})"
        )
    if (cycle := getattr(algo, "update_cycle", 1)) and algo.steps_per_epoch % cycle:
        raise BadInput(
            f"algo_cfgs.steps_per_epoch={algo.steps_per_epoch} must be a multiple of "
            f"algo_cfgs.update_cycle={cycle}"
        )


def _check_epochs(spec: RunSpec, episode_env_steps: int) -> None:
    row, algo = ALGORITHMS[spec.method], spec.agent.algo_cfgs
    episode = budget(spec, episode_env_steps).episode_steps
    if row.family == "off-policy":
        first = max(
            algo.start_learning_steps,
            (getattr(algo, "warmup_epochs", 0) + 1) * algo.steps_per_epoch,
        )
        if row.constrained and first < episode:
            raise BadInput(
                f"the multiplier of {spec.method} would be updated after {first} actions, "
                f"before the first episode of {episode} has ended, and become NaN: "
                f"--algo-cfgs.start-learning-steps {episode} or more"
            )
        return
    least = episode * spec.loop.num_envs
    if algo.steps_per_epoch < least:
        raise BadInput(
            f"algo_cfgs.steps_per_epoch={algo.steps_per_epoch}: no episode of {episode} would "
            f"end within an epoch, and the statistics that {spec.method} needs would be NaN; "
            f"at least --algo-cfgs.steps-per-epoch {least}"
        )


def warnings(spec: RunSpec) -> list[str]:
    """Warnings to show before the run starts."""
    algo = spec.agent.algo_cfgs
    if not hasattr(algo, "warmup_epochs"):
        return []
    first = (algo.warmup_epochs + 1) * algo.steps_per_epoch * spec.loop.action_repeat
    if first < spec.steps:
        return [
            f"{spec.method} holds its multiplier at its first value until simulator step "
            f"{first:,} (algo_cfgs.warmup_epochs)"
        ]
    return [
        f"{spec.method} NEVER updates its multiplier in this run: OmniSafe holds it at its "
        f"first value until simulator step {first:,} "
        f"(algo_cfgs.warmup_epochs={algo.warmup_epochs}), and the run ends at {spec.steps:,}. "
        "It is as good as unconstrained; choose fewer --algo-cfgs.warmup-epochs, or more "
        "--steps"
    ]
