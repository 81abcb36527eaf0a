"""Valid ranges of numbers: one table for every numeric setting and option, of runs, commands and
suites.

A setting is looked up by its dotted name or the end of it. Without a row, it must be a finite
number from 0 to LARGEST, and of a user's own method one from -LARGEST to LARGEST. Limits are far
beyond sensible values; they exclude what overflows, never ends or cannot be allocated. NaN is
always refused, infinity unless a row allows it.
"""

from __future__ import annotations

import argparse
import functools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from benchmarks.runs.errors import BadInput
from benchmarks.runs.reading import is_a

LARGEST = 1e9
SIZE = 65_536  # of a layer, a batch or anything else that is allocated
MAX_SEED = 2**32 - 1  # of NumPy's and torch's generators; JAX would silently drop higher bits


class Range(NamedTuple):
    """From `low` (exclusive if `above`) to `high`, and infinity if `infinite`."""

    low: float
    high: float = LARGEST
    above: bool = False
    infinite: bool = False

    def holds(self, value: float) -> bool:
        if value == math.inf:
            return self.infinite
        return (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        text = f"{'above ' if self.above else ''}{self.low:.10g} to {self.high:.10g}"
        return f"{text}, or inf" if self.infinite else text


POSITIVE = Range(0, above=True)
SHARE = Range(0, 1)
SECONDS = Range(0, 1e7, above=True)
EVERY = Range(1, 1e15)

# regular expressions for the end of a dotted name; the first match counts
_ROWS: tuple[tuple[str, Range], ...] = (
    # runs
    ("seed", Range(0, MAX_SEED)),
    ("steps", Range(0, 1e15, above=True)),
    ("(max_)?minutes", SECONDS),
    ("env_timeout_seconds|watch_seconds|poll_seconds|signal_seconds", SECONDS),
    ("loop.num_envs", Range(1, 4096)),
    ("loop.action_repeat", Range(1, 10_000)),
    ("loop.prefill", EVERY),
    ("loop.train_ratio", Range(0, 1e6, above=True)),
    ("loop.(eval|log|checkpoint)_every", EVERY),
    ("loop.eval_episodes", Range(0, 1e5)),
    ("replay.capacity", Range(1, 1e12)),
    # commands
    (
        "jobs|tail|episodes|video_episodes|dream_context|dream_steps|context|stride|last|reps"
        "|pair_reps|repeats|rounds|pairs|rollouts|every|kills",
        Range(1, 1e6),
    ),
    ("memory_gb|video_fps", Range(0, 1e6, above=True)),
    ("retries.limit|max_env_faults|stills", Range(0, 1e6)),
    ("power", Range(0, 1, above=True)),
    ("at", EVERY),
    # agents
    ("batch_length", Range(2, SIZE)),
    ("planner.candidates|num_samples", Range(1, 1e6)),
    ("planner.elites|num_elites", Range(1, 1e6)),
    ("horizon|iterations|num_iterations|plan_horizon", Range(1, 10_000)),
    ("layers", Range(0, 1000)),  # 0: linear, in methods of users
    ("head_layers|vector_layers", Range(1, 1000)),
    ("batch|batch_size|policy_batch_size|deter|stoch|classes", Range(1, SIZE)),
    ("units|head_units|vector_units|conv_depth|bins|lidar_bins", Range(1, SIZE)),
    (
        "hidden_sizes|hidden_size|channels|kernels|strides|features|feature|frame_stack|z1|z2"
        "|mode_samples|num_particles|num_ensemble|elite_size|num_critics|torch_threads|cost_size"
        "|reward_size|members|model.elites",
        Range(1, SIZE),
    ),
    ("rank|samples", Range(0, SIZE)),
    (
        "steps_per_epoch|size|update_cycle|slow_every|period|fit_every|limit_stage_steps",
        Range(1, 1e12),
    ),
    ("start_learning_steps|halve_after|start_agent_steps|swag.start", Range(0, 1e12)),
    ("actor.max_std", Range(0, above=True, infinite=True)),
    ("unimix", Range(0, 1, above=True)),
    (
        "discount|cost_discount|gamma|cost_gamma|saute_gamma|lam|lam_c|polyak|kl_balance|momentum"
        "|decay|norm_decay|cost_ema|proportional_ema|derivative_ema|pid_delta_[pd]_ema_alpha"
        "|(slow|actor|target)_fraction",
        SHARE,
    ),
    ("imagination.cost_lam", Range(-1, 1)),
    ("model.motion_scale", Range(-1)),
    ("model.residual_floor", POSITIVE),
    ("model.residual_decay|planner.actor_share|reinforce_share|real_ratio|holdout_share", SHARE),
    ("planner.pessimism", Range(1, 1000)),
    ("learning_rate|lr|lambda_lr|low_rate", Range(0, 1000)),
    ("unsafe_reward", Range(-LARGEST)),
    ("clip", Range(0, 1e15, above=True)),
)
_PATTERNS = tuple(
    (re.compile(rf"(?:.*[.])?(?:{names.replace('.', '[.]')})"), found) for names, found in _ROWS
)
_ELSE, _ELSE_OWN = Range(0), Range(-LARGEST)


@functools.cache
def range_of(name: str, own: bool = False) -> Range:
    """The valid range of the setting with that dotted name, `own` if of a user's own method."""
    rest = _ELSE_OWN if own else _ELSE
    return next((found for pattern, found in _PATTERNS if pattern.fullmatch(name)), rest)


def check_number(name: str, value: float, own: bool = False) -> None:
    """Raise BadInput unless the number is in its setting's range."""
    allowed = range_of(name, own)
    if allowed.holds(value):
        return
    shown = f"{name}={_shown(value)}"
    if value <= 0 and allowed.low == 0 and allowed.above:
        raise BadInput(f"{shown} must be positive")
    if value < 0 and allowed.low == 0:
        raise BadInput(f"{shown} must not be negative")
    if value < allowed.low:
        raise BadInput(f"{shown} must be at least {allowed.low:g}")
    raise BadInput(f"{shown} must be a number from {allowed}")


def check_numbers(values: Mapping[str, Any], own: bool = False) -> None:
    """Check all numbers in flat settings, including those in lists.

    `own`: they are settings of a user's own method. Raises BadInput naming the first one out of
    range.
    """
    for name, value in values.items():
        for number in value if isinstance(value, list | tuple) else (value,):
            if is_a(number, float):
                check_number(name, number, own)


def of_own_method(config: Any) -> bool:
    """Whether the settings are of a user's own method: of a class that is not of this suite."""
    return type(config).__module__.partition(".")[0] not in ("agents", "baselines", "benchmarks")


def option(name: str, kind: type[int] | type[float] = int) -> Callable[[str], Any]:
    """The `type` of an argparse option whose range is that of the setting `name`."""

    def read(text: str) -> int | float:
        try:
            value = kind(text)
            check_number(name, value)
        except (ValueError, OverflowError) as error:
            told = f"{text[:40]!r} is not a {'whole ' if kind is int else ''}number"
            told = str(error) if isinstance(error, BadInput) else told
            raise argparse.ArgumentTypeError(told) from error
        return value

    return read


def _shown(value: float) -> str:
    if isinstance(value, float):
        return repr(value)
    return str(value) if abs(value) < 10**30 else "a number of more than 30 digits"
