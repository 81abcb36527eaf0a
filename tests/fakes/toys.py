"""A toy constrained environment and a toy agent, for tests of the training loop.

No simulator, no networks, milliseconds per episode.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from agents.api import Agent, EnvSpec, Mode
from benchmarks.envs import Fault, make_env
from benchmarks.process.signals import Stop
from benchmarks.runs.records import read_records
from benchmarks.runs.spec import LoopConfig, ReplayConfig, RunSpec
from benchmarks.training.loop import Options, Result, train
from benchmarks.training.progress import Reporter
from tests.fakes.shore import EDGE, EPISODE_ENV_STEPS, STRIDE, Shore, shore

__all__ = ["EDGE", "EPISODE_ENV_STEPS", "STRIDE", "Shore", "shore"]


class PaintedShore(Shore):
    """Renders an image whose brightness increases with the number of steps."""

    render_mode = "rgb_array"

    def render(self) -> np.ndarray:
        return np.full((40, 60, 3), 10 * self.steps, np.uint8)


def painted_shore() -> gymnasium.Env:
    """The shore with rendering: `tests.fakes.toys:painted_shore`."""
    return gymnasium.wrappers.TimeLimit(PaintedShore(), EPISODE_ENV_STEPS)


class Drifting(PaintedShore):
    """Adds reward noise from a generator that ignores the seed."""

    drift = np.random.default_rng(0)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward + self.drift.normal(), terminated, truncated, info


def drifting_shore() -> gymnasium.Env:
    """An environment that is not reproducible."""
    return gymnasium.wrappers.TimeLimit(Drifting(), EPISODE_ENV_STEPS)


class SlowShore(Shore):
    """Each simulator step sleeps for the seconds that the file $SHORE_PACE currently holds.

    Without the variable it does not sleep.
    """

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        if pace := os.environ.get("SHORE_PACE"):
            time.sleep(float(Path(pace).read_text()))
        return super().step(action)


def slow_shore() -> gymnasium.Env:
    """An environment with slow steps, for tests that interrupt a run half-way."""
    return gymnasium.wrappers.TimeLimit(SlowShore(), EPISODE_ENV_STEPS)


def costless() -> gymnasium.Env:
    """A standard environment, which reports no cost."""
    return gymnasium.make("Pendulum-v1")


def toy_env(action_repeat: int = 2) -> gymnasium.Env:
    return make_env("tests.fakes.toys:shore", "default", action_repeat)


class ToyState(NamedTuple):
    """A weight that every update changes depending on its batch, and counters of episodes and their
    cost.
    """

    weight: jax.Array
    updates: jax.Array
    cost_sum: jax.Array
    episodes: jax.Array


class ToyAgent:
    """Implements agents.api.Agent.

    Noisy actions around a weight that moves with the mean of its batches.

    Any error of the loop (rows, order, keys, evaluation inside training state) changes the weight
    and so the records.
    """

    pretrain_updates = 0

    def __init__(self, env: EnvSpec) -> None:
        self.env = env

    def init(self, seed: int) -> ToyState:
        return ToyState(jnp.float32(0.01 * seed), jnp.int32(0), jnp.float32(0), jnp.int32(0))

    def init_carry(self, num_envs: int) -> jax.Array:
        return jnp.zeros((num_envs,), jnp.int32)

    def act(
        self,
        state: ToyState,
        carry: jax.Array,
        obs: Mapping[str, np.ndarray],
        is_first: np.ndarray,
        key: jax.Array,
        mode: Mode,
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        return _act(state, carry, dict(obs), is_first, key, self.env.action_dim, mode)

    def update(
        self, state: ToyState, batch: Mapping[str, np.ndarray], key: jax.Array
    ) -> tuple[ToyState, dict[str, jax.Array]]:
        return _update(state, dict(batch), key)

    def end_episode(self, state: ToyState, cost: float, agent_steps: int) -> ToyState:
        del agent_steps
        return state._replace(cost_sum=state.cost_sum + cost, episodes=state.episodes + 1)


@functools.partial(jax.jit, static_argnames=("action_dim", "mode"))
def _act(state, carry, obs, is_first, key, action_dim, mode):
    carry = jnp.where(is_first, 0, carry + 1)
    noise = jax.random.uniform(key, (*carry.shape, action_dim), minval=-1.0, maxval=1.0)
    drift = 0.1 * jnp.sin(obs["observation"][:, :1]) + state.weight
    return (
        jnp.clip(drift + (noise if mode == "train" else 0.5 * noise), -1.0, 1.0),
        carry,
        {"age": carry},
    )


@functools.partial(jax.jit, donate_argnums=0)
def _update(state, batch, key):
    signal = (
        jnp.mean(batch["action"]) + 0.1 * jnp.mean(batch["reward"]) + 0.01 * jax.random.normal(key)
    )
    new = state._replace(weight=0.9 * state.weight + 0.1 * signal, updates=state.updates + 1)
    return new, {"toy/loss": signal**2}


def toy_spec(seed: int = 0, steps: int = 600, **loop: Any) -> RunSpec:
    """A run of the toy agent: 3 environments, episodes of 10 agent steps."""
    defaults: dict[str, Any] = {
        "num_envs": 3,
        "action_repeat": 2,
        "prefill": 36,
        "train_ratio": 8.0,
        "batch_size": 4,
        "batch_length": 5,
        "eval_every": 100,
        "eval_episodes": 2,
        "log_every": 50,
        "checkpoint_every": 60,
        "env_workers": "inline",
    }
    return RunSpec(
        method="toy",
        task="tests.fakes.toys:shore",
        obs="default",
        seed=seed,
        steps=steps,
        preset="debug",
        loop=LoopConfig(**(defaults | loop)),
        replay=ReplayConfig(capacity=1000),
        agent={"kind": "toy"},
    )


def run(spec: RunSpec, out: Path, **options: Any) -> Result:
    """Train the toy agent."""
    return train(spec, out, toy_env, ToyAgent, Options(**options))


def metric_rows(out: Path) -> list[dict[str, Any]]:
    """The rows of a run's metrics."""
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def steady(frame: pd.DataFrame, split: str = "train") -> pd.DataFrame:
    """Records of a split without the clock."""
    return frame[frame["split"] == split].drop(columns="wall_seconds").reset_index(drop=True)


def no_fault(fault: Fault) -> None:
    """Fault callback for evaluations in which no environment may fail."""
    raise AssertionError(fault)


class Listener(Reporter):
    """Stores the messages of a run."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


class StopAfter(Stop):
    """Requests a stop after `iterations` iterations."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations

    def __call__(self) -> bool:
        return self.iterations <= 0

    def iterated(self, seconds: float) -> None:
        self.iterations -= 1


Judge: TypeAlias = Callable[[float, float], str]  # return, cost -> "" or what is wrong


def stops_at_the_edge(ret: float, cost: float, limit: float = 1.0) -> str:
    """Whether return and cost on the shore are close to the constrained optimum."""
    if not cost <= 2.0 * limit:  # also of NaN
        return f"it pays {cost}, the limit is {limit}"
    return "" if ret >= 0.5 * EDGE else f"it earns {ret}; the constrained optimum is in 1..2"


def walks_into_the_water(ret: float, cost: float) -> str:
    """Whether return and cost on the shore are close to the unconstrained optimum."""
    found = f"it earns {ret} at {cost}; unconstrained it can earn 5"
    return "" if ret >= 3.5 and cost >= 8.0 else found


def solve_shore(
    out: Path,
    method: str,
    agent: Any,
    make_agent: Callable[[Any, EnvSpec], Agent],
    judge: Judge,
    steps: int,
    **loop: Any,
) -> None:
    """Fail unless an agent of these settings solves the shore within `steps` simulator steps.

    Judged are the medians over the last three of five evaluations, of ten episodes each. The
    optimum lies where costs begin and rounding differs between processors, so that now and then an
    agent is over the edge: another two seeds are tried before it is a failure.
    """
    defaults = {
        "num_envs": 4,
        "action_repeat": 1,
        "prefill": 400,
        "train_ratio": 64.0,
        "batch_size": 16,  # an update of 8 sequences takes nearly as long
        "batch_length": 16,
        "eval_episodes": 10,
        "eval_every": steps // 5,
        "log_every": 500,
        "checkpoint_every": steps,
    }
    wrong: list[str] = []
    for seed in range(3):
        spec = toy_spec(seed=seed, steps=steps, **(defaults | loop))
        spec = dataclasses.replace(spec, method=method, agent=agent)
        run = out / str(seed)
        train(
            spec, run, functools.partial(toy_env, 1), functools.partial(make_agent, agent),
            Options(),
        )  # fmt: skip
        frame = read_records(run)
        evaluations = (
            frame[frame["split"] == "eval"].groupby("env_steps")[["return", "cost"]].mean()
        )
        assert len(evaluations) == 5
        ret, cost = evaluations.tail(3).median(skipna=False)
        wrong.append(judge(ret, cost))
        if not wrong[-1]:
            return
    raise AssertionError(wrong)
