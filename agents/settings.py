"""Settings shared by agents (multipliers, optimisers), and helpers to check and change settings.

Imports no JAX, so that commands can show settings quickly.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple


def require(condition: bool, message: str) -> None:
    """Raise ValueError with `message` unless `condition` holds."""
    if not condition:
        raise ValueError(message)


class Allowed(NamedTuple):
    """Values that a setting may have, and the requirement in words. NaN is never allowed."""

    holds: Callable[[Any], bool]
    words: str


def at_least(low: int) -> Allowed:
    return Allowed(lambda value: value >= low, f"must be at least {low}")


def within(low: int, high: int) -> Allowed:
    return Allowed(lambda value: low <= value <= high, f"must lie in {low}..{high}")


POSITIVE = Allowed(lambda value: value > 0, "must be positive")
NOT_NEGATIVE = Allowed(lambda value: value >= 0, "must not be negative")
SHARE = within(0, 1)
SHARE_BELOW_1 = Allowed(lambda value: 0 <= value < 1, "must lie in 0..1, 1 excluded")
BETWEEN_0_AND_1 = Allowed(lambda value: 0 < value < 1, "must lie between 0 and 1")


def check(config: Any, part: str, allowed: Allowed, *names: str) -> None:
    """Raise ValueError unless these fields of `config` have allowed values.

    The message names the first that does not, as `part.name`; `part` is empty at the top level.
    """
    for name in names:
        value = getattr(config, name)
        where = f"{part}.{name}" if part else name
        require(allowed.holds(value), f"{where}={value} {allowed.words}")


def replaced(config: Any, changes: Mapping[str, Any]) -> Any:
    """Copy of a nested dataclass with values changed by dotted name (`planner.horizon`).

    Each level is validated once, with all its changes.
    """
    values: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        part, _, rest = name.partition(".")
        if rest:
            nested.setdefault(part, {})[rest] = value
        else:
            values[part] = value
    parts = {part: replaced(getattr(config, part), inner) for part, inner in nested.items()}
    return dataclasses.replace(config, **values, **parts)


@dataclasses.dataclass(frozen=True)
class PIDConfig:
    """PID-controlled multiplier (Stooke et al., arXiv:2007.03964).

    Defaults are those of SafeDreamer's OSRP-Lag.
    """

    kp: float = 0.1
    """Proportional gain, multiplier per unit of smoothed cost excess."""
    ki: float = 0.01
    """Integral gain, multiplier per unit of cost excess and episode."""
    kd: float = 0.01
    """Derivative gain, multiplier per unit of cost increase over `delay` episodes."""
    integral_init: float = 1e-3
    """Initial value of the integral term."""
    proportional_ema: float = 0.95
    """Share of the old value in the smoothed cost excess."""
    derivative_ema: float = 0.95
    """Share of the old value in the smoothed cost."""
    cost_ema: float = 0.99
    """Share of the old value in the running mean of episode costs."""
    delay: int = 10
    """Episodes between the two smoothed costs whose difference is the derivative."""
    max_multiplier: float = 0.1
    """Upper bound of the multiplier."""
    start_agent_steps: int = 5000
    """Agent steps during which the multiplier stays at zero."""
    limit_schedule: bool = False
    """Lower the limit in stages from `limit_init` instead of using the final one throughout."""
    limit_init: float = 10.0
    """First limit of the schedule, cost per episode."""
    limit_decrement: float = 2.0
    """Decrease of the limit per stage of the schedule, in cost per episode."""
    limit_stage_steps: int = 20000
    """Agent steps per stage of the schedule."""
    limit_stages: int = 7
    """Number of stages after which the limit stays constant."""

    def __post_init__(self):
        check(self, "pid", at_least(1), "delay", "limit_stage_steps")
        check(self, "pid", NOT_NEGATIVE, "kp", "ki", "kd", "integral_init", "max_multiplier")
        check(self, "pid", SHARE, "proportional_ema", "derivative_ema", "cost_ema")


@dataclasses.dataclass(frozen=True)
class AugmentedConfig:
    """Augmented Lagrangian of SafeDreamer (arXiv:2307.07176), as in LAMBDA (arXiv:2201.09802).

    Defaults are BSRP-Lag's. docs/concepts/safedreamer.md#augmented-lagrangian
    """

    multiplier_init: float = 1e-6
    """Initial Lagrange multiplier."""
    penalty_init: float = 5e-9
    """Initial penalty coefficient mu; it only grows."""
    penalty_growth: float = 1e-5
    """Relative growth of mu per update."""
    penalty_max: float = 1.0
    """Upper bound of mu."""
    driven_by: Literal["imagined", "episode"] = "imagined"
    """What drives the multiplier: imagined cost returns at every update (release), or the real cost
    of each training episode.
    """

    def __post_init__(self):
        check(self, "augmented", POSITIVE, "penalty_init")
        check(self, "augmented", NOT_NEGATIVE, "multiplier_init", "penalty_growth")
        require(
            self.penalty_max >= self.penalty_init,
            f"augmented.penalty_max={self.penalty_max} must be at least augmented.penalty_init="
            f"{self.penalty_init}",
        )


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Adam after global-norm gradient clipping."""

    learning_rate: float = 1e-4
    """Learning rate."""
    eps: float = 1e-8
    """Epsilon of Adam."""
    clip: float = 1000.0
    """Global norm to which gradients are clipped."""

    def __post_init__(self):
        check(self, "", POSITIVE, "learning_rate", "eps", "clip")
