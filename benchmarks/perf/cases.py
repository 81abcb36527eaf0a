"""The timed cases: an action or an update of a method under a preset, on random data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from agents.api import ArraySpec, EnvSpec, ObsSpec
from agents.settings import replaced
from benchmarks.methods import method, settings
from benchmarks.runs.spec import LoopConfig

# The release's observations of PointGoal1: two cameras, or 29 coordinates of which 16 are hazard
# positions.
VISION = {name: ArraySpec((64, 64, 3), "uint8") for name in ("image", "image2")}
VECTOR = {"observation": ArraySpec((29,), "float32")}
HAZARDS = {"hazards": slice(9, 25)}


class Release(NamedTuple):
    """Performance of the authors' release on two cores of the reference machine, float32."""

    gflop: float
    share: float  # share of the machine's matmul peak


@dataclasses.dataclass(frozen=True)
class Case:
    """One timed function."""

    name: str
    method: str
    obs: str
    kind: str  # "plan" or "update"
    dtype: str = "float32"
    envs: int = 1
    conv_impl: str = "auto"
    release: Release | None = None
    sizes: tuple[tuple[str, Any], ...] = ()  # dotted settings of the agent, for `scaling`
    batch_size: int | None = None
    preset: str = "release"

    def config(self) -> Any:
        """The preset's settings with this case's changes, and without pre-training, whose updates
        are only partial.
        """
        config = settings(self.method, self.obs, self.preset).agent
        changes: dict[str, Any] = {}
        if self.dtype != "float32":
            changes["dtype"] = self.dtype
        if self.conv_impl != "auto":
            changes["model"] = dataclasses.replace(config.model, conv_impl=self.conv_impl)
        if hasattr(config, "pretrain_updates"):
            changes["pretrain_updates"] = 0
        return replaced(dataclasses.replace(config, **changes), dict(self.sizes))

    def agent(self) -> tuple[Any, LoopConfig]:
        """The agent for PointGoal1 with the case's observation, and the loop settings."""
        obs = VISION if self.obs == "vision" else VECTOR
        loop = settings(self.method, self.obs, self.preset).loop
        layout = HAZARDS if self.obs == "coordinates" else {}
        env = EnvSpec(
            obs, 2, loop.action_repeat, 1000, layout, costly=tuple(layout), hazard_size=0.2
        )
        return method(self.method).agent(self.config(), env), loop

    def prepare(self) -> tuple[Callable[..., Any], tuple[Any, ...], Callable[[], Any]]:
        """The function and its arguments, for counting FLOPs, and a call without arguments, for
        timing.
        """
        agent, loop = self.agent()
        obs = agent.env.obs
        state, key = agent.init(0), jax.random.key(1)
        if self.kind == "update":
            batch = jax.device_put(
                random_batch(obs, self.batch_size or loop.batch_size, loop.batch_length)
            )
            args = (state, batch, key)
            return agent.learner.update, args, Updater(agent.update, *args)
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
    """Calls an update repeatedly on the state it returned.

    The state's buffers are donated, so no two leaves may share one.
    """

    def __init__(self, update: Callable[..., Any], state: Any, batch: Any, key: jax.Array):
        self.update, self.batch, self.key = update, batch, key
        self.state = jax.tree.map(jax.numpy.copy, state)

    def __call__(self) -> Any:
        self.state, metrics = self.update(self.state, self.batch, self.key)
        return self.state, metrics


def random_array(spec: ArraySpec, lead: tuple[int, ...]) -> np.ndarray:
    """Uniform bytes or normal floats, [*lead, *shape]."""
    rng = np.random.default_rng(0)
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
    """Actions and updates at the release's sizes; the release's planning from vision was not
    measured.
    """
    return [
        Case("plan, vector preset", "osrp", "coordinates", "plan", release=Release(175, 0.46)),
        Case("update, vector preset", "osrp", "coordinates", "update", release=Release(190, 0.30)),
        Case("plan, vision preset", "osrp_lag", "vision", "plan"),
        Case("update, vision preset", "bsrp_lag", "vision", "update", release=Release(1879, 0.089)),
    ]


def cpu(kind: str, method: str, what: str, **more: Any) -> Case:
    """A case under the preset `cpu`."""
    return Case(f"{kind}, {what}", method, "coordinates", kind, preset="cpu", **more)


def cpu_cases() -> list[Case]:
    """Actions and updates under the preset `cpu`."""
    updates = [cpu("update", name, f"{name}, cpu") for name in ("bsrp_lag", "osrp_lag")]
    return updates + [cpu("plan", name, f"{name}, cpu") for name in ("osrp_lag", "bsrp_lag")]


def scaling_cases() -> list[Case]:
    """Growth of time and memory: the preset `cpu` with one size changed at a time."""
    updates = {
        "imagination.horizon": (5, 15, 30),
        "imagination.starts": (32, 64, 256),
        "model.deter": (64, 128, 256, 512),
        "model.units": (64, 128, 256, 512),
    }
    plans = {"planner.horizon": (5, 10, 15), "planner.candidates": (32, 64, 256, 500)}
    cases = [cpu("update", "bsrp_lag", f"batch_size={n}", batch_size=n) for n in (8, 16, 32, 64)]
    for kind, acting, sizes in (("update", "bsrp_lag", updates), ("plan", "osrp_lag", plans)):
        for name, values in sizes.items():
            cases += [cpu(kind, acting, f"{name}={n}", sizes=((name, n),)) for n in values]
    return cases


def convolution_cases() -> list[Case]:
    """The vision update with each implementation of the convolutions."""
    return [
        Case(f"update, vision, conv {impl}", "bsrp_lag", "vision", "update", conv_impl=impl)
        for impl in ("matmul", "xla")
    ]


def baseline_cases() -> list[Case]:
    """An update of each baseline under its presets, and of the SafeDreamer method that acts like
    it.
    """
    where = (("cpu", "coordinates"), ("release", "vision"), ("matched", "vision"))
    return [
        cpu("update", "bsrp_lag", "bsrp_lag, cpu (coordinates)"),
        *(
            Case(f"update, {name}, {p} ({o})", name, o, "update", preset=p)
            for p, o in where
            for name in ("lambda", "safe_slac")
        ),
        *(
            cpu("update", name, f"{name}, cpu (coordinates)")
            for name in ("sac_lag", "dyna_lag", "mbpo_lag", "mve_lag")
        ),
    ]


SUITES: dict[str, Callable[[], list[Case]]] = {
    "release": release_cases,
    "convolution": convolution_cases,
    "baselines": baseline_cases,
    "cpu": cpu_cases,
    "scaling": scaling_cases,
}


@dataclasses.dataclass(frozen=True)
class PerfOptions:
    """Time planned actions and updates.

    Reports medians, peak memory, and the share of the machine's matmul peak.
    """

    suite: Literal["release", "convolution", "baselines", "cpu", "scaling"] = "release"
    """Cases: the release's presets, the implementations of the convolutions, updates of the
    baselines, the preset cpu, or one size changed at a time.
    """
    repeats: int = 7
    """Timed calls per case, after one to compile."""
    only: str = ""
    """Run only cases whose name contains this text."""
    out: Path | None = None
    """Folder for SUITE.json; if not given, results are only printed."""
    against: Path | None = None
    """Another checkout of this suite, in which each case is timed directly afterwards."""
    rounds: int = 1
    """Rounds in which each case is timed on both sides, in new processes. Reports the round with
    the median ratio to the other checkout, or with the median time.
    """
