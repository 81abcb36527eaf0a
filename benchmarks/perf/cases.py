"""What is timed: an action and an update of a method under a preset, on random data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from agents.api import Agent, ArraySpec, EnvSpec, ObsSpec
from benchmarks.methods import method, settings
from benchmarks.runs.spec import LoopConfig

# PointGoal1 as the release sees it: two cameras, or 29 coordinates of which 16 are hazard
# positions.
VISION = {name: ArraySpec((64, 64, 3), "uint8") for name in ("image", "image2")}
VECTOR = {"observation": ArraySpec((29,), "float32")}
HAZARDS = {"hazards": slice(9, 25)}


@dataclasses.dataclass(frozen=True)
class Case:
    """One timed function.

    `release_seconds` is what the authors' release took on two cores of the reference machine, if
    known.
    """

    name: str
    method: str
    obs: str
    kind: str  # "plan" or "update"
    dtype: str = "float32"
    envs: int = 1
    conv_impl: str = "auto"
    release_seconds: float | None = None
    preset: str = "release"

    def config(self) -> Any:
        """The preset's settings with this case's, and without pre-training, whose updates are only
        a part of one.
        """
        config = settings(self.method, self.obs, self.preset).agent
        changes: dict[str, Any] = {}
        if self.dtype != "float32":
            changes["dtype"] = self.dtype
        if self.conv_impl != "auto":
            changes["model"] = dataclasses.replace(config.model, conv_impl=self.conv_impl)
        if hasattr(config, "pretrain_updates"):
            changes["pretrain_updates"] = 0
        return dataclasses.replace(config, **changes)

    def agent(self) -> tuple[Any, LoopConfig]:
        """The agent on a PointGoal1 as the observation shows it, and the loop's settings."""
        obs = VISION if self.obs == "vision" else VECTOR
        loop = settings(self.method, self.obs, self.preset).loop
        layout = HAZARDS if self.obs == "coordinates" else {}
        env = EnvSpec(
            obs, 2, loop.action_repeat, 1000, layout, costly=tuple(layout), hazard_size=0.2
        )
        return method(self.method).agent(self.config(), env), loop

    def prepare(self) -> tuple[Callable[..., Any], tuple[Any, ...], Callable[[], Any]]:
        """The traced function with its arguments, for counting FLOPs, and a call without arguments,
        for timing.
        """
        agent, loop = self.agent()
        obs = agent.env.obs
        state, key = agent.init(0), jax.random.key(1)
        if self.kind == "update":
            batch = jax.device_put(random_batch(obs, loop.batch_size, loop.batch_length))
            return agent.learner.update, (state, batch, key), Updater(agent, state, batch, key)
        rows = {name: random_array(spec, (self.envs,)) for name, spec in obs.items()}
        args = (
            state,
            agent.init_carry(self.envs),
            jax.device_put(rows),
            np.zeros(self.envs, bool),
            key,
        )
        return lambda *a: agent.act(*a, mode="eval"), args, lambda: agent.act(*args, mode="eval")[0]


class Updater:
    """Calls the update again and again on the state it returned.

    The state's buffers are donated.
    """

    def __init__(self, agent: Agent, state: Any, batch: Any, key: jax.Array):
        self.agent, self.state, self.batch, self.key = (
            agent,
            jax.tree.map(jax.numpy.copy, state),
            batch,
            key,
        )

    def __call__(self) -> Any:
        self.state, metrics = self.agent.update(self.state, self.batch, self.key)
        return self.state, metrics


def random_array(spec: ArraySpec, lead: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Uniform bytes or normal floats, [*lead, *shape]."""
    rng = np.random.default_rng(seed)
    shape = (*lead, *spec.shape)
    return (
        rng.integers(0, 256, shape, np.uint8)
        if spec.dtype == "uint8"
        else rng.normal(size=shape).astype(np.float32)
    )


def random_batch(obs: ObsSpec, batch: int, length: int) -> dict[str, np.ndarray]:
    """A replay batch [B, T, ...] of one endless episode."""
    rng = np.random.default_rng(1)
    flags = {
        name: np.zeros((batch, length), bool) for name in ("is_first", "is_last", "is_terminal")
    }
    return (
        {name: random_array(spec, (batch, length)) for name, spec in obs.items()}
        | flags
        | {
            "action": rng.uniform(-1, 1, (batch, length, 2)).astype(np.float32),
            "reward": rng.normal(size=(batch, length)).astype(np.float32),
            "cost": (rng.random((batch, length)) < 0.1).astype(np.float32),
        }
    )


def release_cases() -> list[Case]:
    """The four numbers measured from the release, and the vision update with XLA's own convolutions
    beside ours.
    """
    return [
        Case("plan, vector preset", "osrp", "coordinates", "plan", release_seconds=0.80),
        Case("update, vector preset", "osrp", "coordinates", "update", release_seconds=1.46),
        Case("plan, vision preset", "osrp_lag", "vision", "plan", release_seconds=7.2),
        Case("update, vision preset", "bsrp_lag", "vision", "update", release_seconds=43.0),
    ]


def convolution_cases() -> list[Case]:
    """The vision update with each form of the convolutions."""
    return [
        Case(f"update, vision, conv {impl}", "bsrp_lag", "vision", "update", conv_impl=impl)
        for impl in ("matmul", "xla")
    ]


def baseline_cases() -> list[Case]:
    """An update of each world-model baseline under its presets, beside the method of SafeDreamer
    that acts as they do.
    """
    where = (("cpu", "coordinates"), ("release", "vision"), ("matched", "vision"))
    cases = [
        Case(f"update, {name}, {p} ({o})", name, o, "update", preset=p)
        for p, o in where
        for name in ("lambda", "safe_slac")
    ]
    return [
        Case(
            "update, bsrp_lag, cpu (coordinates)", "bsrp_lag", "coordinates", "update", preset="cpu"
        ),
        *cases,
    ]


SUITES: dict[str, Callable[[], list[Case]]] = {
    "release": release_cases,
    "convolution": convolution_cases,
    "baselines": baseline_cases,
}
