"""How long a run would take on an NVIDIA data-centre card: an estimate, not a measurement.

Operations are counted (work.json, by `python -m benchmarks.perf.work`); the rates that turn them
into seconds were measured on one H200 (results/gpu). A call of a jitted function takes

    seconds = products * LAUNCH + max(flops / (EFFICIENCY * peak), bytes / bandwidth)

because with few environments small dependent kernels dominate, not arithmetic; with 1, 8 and 64
environments this is within 8 % of measurements (docs/howto/accelerator.md). A run is its actions,
updates, simulator steps and evaluations, one after another, on a card of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.runs.identity import flatten
from benchmarks.runs.spec import LoopConfig, RunSpec
from benchmarks.tasks import EPISODE_ENV_STEPS
from benchmarks.training.episodes import MAX_ENVS

FILE = Path(__file__).with_name("work.json")


class Card(NamedTuple):
    """Rates of a card, by the dtype of the settings; float32 products are rounded to TF32."""

    peak_flops: dict[str, float]  # of a large matrix product
    bandwidth: float  # bytes per second, by its data sheet


# Peaks as measured on the H200 (results/gpu/timings.json). An H100 SXM has the same processor and
# slower memory; its peaks were not measured.
PEAK_FLOPS = {"bfloat16": 638e12, "float32": 364e12}
CARDS = {"H100": Card(PEAK_FLOPS, 3.35e12), "H200": Card(PEAK_FLOPS, 4.8e12)}

# Fitted to the planner's and the actor's times in results/gpu/timings.json.
EFFICIENCY = 0.39  # fraction of the peak, launches excluded
LAUNCH_SECONDS = 14e-6  # per product, with the elementwise kernels around it
CALL_SECONDS = 1.3e-3  # per action: transfer of observations to the card, and of the action back
# Agent steps per second by number of environment processes that render both cameras, same machine.
# Environments without rendering are faster.
ENV_STEPS_PER_SECOND = {1: 539.0, 4: 1292.0, 16: 1853.0}
ENV_START_SECONDS = 9.0  # of an evaluation's environment processes, same machine
COMPILE_SECONDS = 120.0

# Settings that do not affect which products are computed; nor do floats, except the sizes below.
SAME_WORK = ("pid.", "augmented.", "multiplier.", "dtype", "pretrain_updates", "halve_after")
SIZES_AS_FRACTIONS = ("planner.actor_fraction", "planner.actor_share")


class Work(NamedTuple):
    """Products of a call, as counted by benchmarks.perf.flops."""

    flops: float
    number: int
    bytes: float

    def seconds(self, card: Card, dtype: str, copies: int = 1) -> float:
        """Seconds of a call for `copies` environments at once; launches are shared."""
        arithmetic = self.flops / (EFFICIENCY * card.peak_flops[dtype])
        return self.number * LAUNCH_SECONDS + copies * max(arithmetic, self.bytes / card.bandwidth)


class Counted(NamedTuple):
    """Work of a method under a preset: an action in one environment, and an update."""

    act: Work
    update: Work


@functools.cache
def operations(agent: Any, loop: LoopConfig) -> str:
    """A hash of the settings that determine the products: equal hashes, equal work."""
    chosen = {
        name: value
        for name, value in flatten(dataclasses.asdict(agent)).items()
        if not name.startswith(SAME_WORK)
        and (not isinstance(value, float) or name in SIZES_AS_FRACTIONS)
    }
    chosen |= {"batch_size": loop.batch_size, "batch_length": loop.batch_length}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:12]


@functools.cache
def counted() -> dict[tuple[str, str, str], Counted]:
    """The counted work, by method, observation and `operations`."""
    found = {}
    for row in json.loads(FILE.read_text(encoding="utf-8")):
        work = Counted(Work(**row["act"]), Work(**row["update"]))
        found[(row["method"], row["obs"], row["operations"])] = work
    return found


def hours(spec: RunSpec, env_steps: int = 0, card: str = "H100") -> float | None:
    """Remaining hours of a run after `env_steps`; None if its work was not counted."""
    found = counted().get((spec.method, spec.obs, operations(spec.agent, spec.loop)))
    if found is None:
        return None
    loop, dtype = spec.loop, getattr(spec.agent, "dtype", "float32")
    repeat, envs = loop.action_repeat, loop.num_envs
    done, end = env_steps // repeat, math.ceil(spec.steps / repeat)
    updates = loop.updates_due(end) - loop.updates_due(done)
    if not done:
        updates += getattr(spec.agent, "pretrain_updates", 0)
    acting = step_seconds(found, CARDS[card], dtype, envs)
    seconds = max(0, end - done) / envs * acting
    seconds += updates * found.update.seconds(CARDS[card], dtype)
    if loop.eval_episodes:
        at_once = min(loop.eval_episodes, MAX_ENVS)
        turns = math.ceil(loop.eval_episodes / at_once)
        steps = turns * EPISODE_ENV_STEPS / repeat  # some tasks have shorter episodes
        once = ENV_START_SECONDS + steps * step_seconds(found, CARDS[card], dtype, at_once)
        seconds += (end // loop.eval_every - done // loop.eval_every) * once
    return (COMPILE_SECONDS + seconds) / 3600


def step_seconds(found: Counted, card: Card, dtype: str, envs: int) -> float:
    """Seconds of an agent step of `envs` environments: their actions and their simulators."""
    workers = max(n for n in ENV_STEPS_PER_SECOND if n <= envs)
    simulated = envs / ENV_STEPS_PER_SECOND[workers]
    return CALL_SECONDS + found.act.seconds(card, dtype, envs) + simulated
