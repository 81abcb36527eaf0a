"""Checks the two Lagrange multipliers on recorded costs (`pid_lagrangian.npz`,
`augmented_lagrangian.npz`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from agents.lagrangian import (
    augmented_penalty,
    init_augmented,
    init_pid,
    update_augmented,
    update_pid,
)
from agents.settings import AugmentedConfig, PIDConfig
from benchmarks.fidelity.arrays import load_arrays, require
from benchmarks.fidelity.report import Row, compare_columns

# Order of a recording's `*_gains`.
GAINS = (
    "kp",
    "ki",
    "kd",
    "init_penalty",
    "d_delay",
    "p_ema",
    "d_ema",
    "penalty_max",
    "multiplier_init",
    "cost_limit",
    "init_cost_limit",
    "decay_time_step",
    "decay_num",
    "decay_limit_step",
)
PID_OUTPUTS = ("multiplier", "proportional", "integral", "derivative", "cost_average")
# part of the names of series recorded with the limit schedule, which their gains do not show
SCHEDULED = "decay"


def pid_config(gains: np.ndarray, *, scheduled: bool) -> PIDConfig:
    """Our configuration of a recording's gains [14]."""
    g = dict(zip(GAINS, gains.tolist(), strict=True))
    return PIDConfig(
        kp=g["kp"],
        ki=g["ki"],
        kd=g["kd"],
        integral_init=g["multiplier_init"],
        proportional_ema=g["p_ema"],
        derivative_ema=g["d_ema"],
        delay=int(g["d_delay"]),
        max_multiplier=g["penalty_max"],
        limit_schedule=scheduled,
        limit_init=g["init_cost_limit"],
        limit_decrement=g["decay_limit_step"],
        limit_stage_steps=int(g["decay_time_step"]),
        limit_stages=int(g["decay_num"]),
    )


def run_pid(
    gains: np.ndarray, episode_cost: np.ndarray, agent_steps: np.ndarray, *, scheduled: bool
) -> np.ndarray:
    """Multiplier, P, I, D and cost average after each episode: [episodes] -> [episodes, 5]."""
    config = pid_config(gains, scheduled=scheduled)
    cost_limit = float(gains[GAINS.index("cost_limit")])
    start = init_pid(config)._replace(
        multiplier=jnp.asarray(gains[GAINS.index("init_penalty")], jnp.float32)
    )

    def step(state, inputs):
        state = update_pid(config, state, inputs[0], cost_limit, inputs[1])
        return state, jnp.stack([getattr(state, name) for name in PID_OUTPUTS])

    inputs = (jnp.asarray(episode_cost, jnp.float32), jnp.asarray(agent_steps, jnp.int32))
    return np.asarray(jax.lax.scan(step, start, inputs)[1])


def run_augmented(init: np.ndarray, cost_return: np.ndarray) -> np.ndarray:
    """Penalty, multiplier and its coefficient after each update: init [3] = lambda, mu, limit.

    cost_return [U, N] -> [U, 3].
    """
    multiplier, penalty, limit = init.tolist()
    config = AugmentedConfig(multiplier, penalty)

    def step(state, returns):
        excess = returns.mean() - limit
        psi = augmented_penalty(state, excess)
        state = update_augmented(config, state, excess)
        return state, jnp.stack([psi, state.multiplier, state.penalty])

    return np.asarray(
        jax.lax.scan(step, init_augmented(config), jnp.asarray(cost_return, jnp.float32))[1]
    )


def series_names(
    arrays: Mapping[str, np.ndarray], path: Path, suffixes: tuple[str, ...]
) -> list[str]:
    """Names n for which n + suffix is an array for every suffix.

    Raises RecordingError if only some are.
    """
    names = dict.fromkeys(
        key.removesuffix(end) for key in arrays for end in suffixes if key.endswith(end)
    )
    for name in names:
        require(arrays, path, [name + end for end in suffixes])
    return list(names)


def check_pid(path: Path) -> list[Row]:
    """Compare every series of a PID recording, column by column."""
    rows, data = [], load_arrays(path)
    for name in series_names(data, path, ("_gains", "_episode_cost", "_env_step", "_out")):
        inputs = (data[f"{name}{end}"] for end in ("_gains", "_episode_cost", "_env_step"))
        ours = run_pid(*inputs, scheduled=SCHEDULED in name)
        rows += compare_columns(f"pid/{name}", PID_OUTPUTS, ours, data[f"{name}_out"])
    return rows


def check_augmented(path: Path) -> list[Row]:
    """Compare every series of an augmented-Lagrangian recording, column by column."""
    rows, data = [], load_arrays(path)
    for name in series_names(data, path, ("_init", "_cost_return", "_psi_lambda_mu")):
        ours = run_augmented(data[f"{name}_init"], data[f"{name}_cost_return"])
        columns = ("penalty", "multiplier", "coefficient")
        rows += compare_columns(f"augmented/{name}", columns, ours, data[f"{name}_psi_lambda_mu"])
    return rows
