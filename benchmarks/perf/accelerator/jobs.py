"""The measurements on an accelerator, most valuable first.

A job is one process; measurements.py implements the kinds of jobs.

Parts: "a" times one learner and its environments, "c" several learners in one process. Training,
part "b", is in training.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

Part: TypeAlias = Literal["a", "c"]
# dtype and precision of matrix products of float32 arrays (jax_default_matmul_precision) by name.
NUMBERS: dict[str, tuple[str, str]] = {
    "bfloat16": ("bfloat16", "default"),
    "TF32": ("float32", "tensorfloat32"),
    "float32": ("float32", "float32"),
}
RENDERED_TASK = "SafetyPointGoal1-v0"


@dataclasses.dataclass(frozen=True)
class Job:
    """One measurement in its own process.

    A function of measurements.py by name, and its arguments as plain values.
    """

    name: str
    part: Part
    kind: Literal["peak", "update", "act", "render", "seeds"]
    args: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Sizes of the measurements."""

    vision: str = "release"  # preset of updates and planned actions from vision
    small: str = "cpu"  # preset of updates from coordinates, and of several seeds
    peak: int = 8192  # rows of the square matrix product
    envs: tuple[int, ...] = (1, 8, 64)  # environments whose actions are planned at once
    workers: tuple[int, ...] = (16, 4, 1)  # rendering environments
    render_seconds: float = 4.0
    seeds: tuple[int, ...] = (1, 4, 8)
    repeats: int = 10
    every_kind_once: bool = False

    def timed(
        self, method: str, obs: str, preset: str, numbers: str, **more: Any
    ) -> dict[str, Any]:
        """Arguments of the jobs that time an agent."""
        shared = {"method": method, "obs": obs, "preset": preset, "numbers": numbers}
        return {**shared, **more, "repeats": self.repeats}


FULL = Sizes()
REHEARSAL = Sizes(
    vision="debug",
    small="debug",
    peak=256,
    envs=(2,),
    workers=(2,),
    render_seconds=1.0,
    seeds=(2,),
    repeats=2,
    every_kind_once=True,
)


def jobs(sizes: Sizes) -> list[Job]:
    """All jobs of parts a and c in the order in which they are prepared and measured."""
    one, *more = sizes.envs
    found = [
        Job("peak", "a", "peak", {"numbers": list(NUMBERS), "size": sizes.peak}),
        update(sizes, "bfloat16"),
        act(sizes, "osrp_lag", one, "bfloat16"),
        update(sizes, "TF32"),
        *(act(sizes, "osrp_lag", n, "bfloat16") for n in more),
        update(sizes, "float32"),
        *(render(sizes, n) for n in sizes.workers),
        update(sizes, "float32", obs="coordinates", preset=sizes.small),
        act(sizes, "bsrp_lag", sizes.workers[0], "bfloat16"),
        act(sizes, "osrp_lag", one, "TF32"),
        update(sizes, "bfloat16", conv_impl="matmul"),
        *(seeds(sizes, "coordinates", n, "float32") for n in sizes.seeds),
        *(seeds(sizes, "vision", n, "bfloat16") for n in sizes.seeds),
    ]
    if sizes.every_kind_once:
        return list({job.kind: job for job in reversed(found)}.values())[::-1]
    return found


def update(
    sizes: Sizes, numbers: str, obs: str = "vision", preset: str = "", conv_impl: str = "auto"
) -> Job:
    """An update of BSRP-Lag."""
    form = "" if conv_impl == "auto" else f", convolutions by {conv_impl}"
    args = sizes.timed("bsrp_lag", obs, preset or sizes.vision, numbers, conv_impl=conv_impl)
    return Job(f"update, {obs}, {numbers}{form}", "a", "update", args)


def act(sizes: Sizes, method: str, envs: int, numbers: str) -> Job:
    """Actions for several environments at once, from vision."""
    args = sizes.timed(method, "vision", sizes.vision, numbers, envs=envs)
    return Job(f"act, {method}, {envs} environments, {numbers}", "a", "act", args)


def seeds(sizes: Sizes, obs: str, count: int, numbers: str) -> Job:
    """Updates of several seeds of BSRP-Lag in one process."""
    args = sizes.timed("bsrp_lag", obs, sizes.small, numbers, seeds=count)
    return Job(f"seeds, {obs}, {count}", "c", "seeds", args)


def render(sizes: Sizes, workers: int) -> Job:
    """Steps of rendering environments."""
    args = {"task": RENDERED_TASK, "workers": workers, "seconds": sizes.render_seconds}
    return Job(f"render, {workers} workers", "a", "render", args)
