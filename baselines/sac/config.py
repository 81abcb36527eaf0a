"""Configuration of soft actor-critic with a cost critic and of its multiplier."""

from __future__ import annotations

import dataclasses
from typing import Literal

from agents.settings import (
    BETWEEN_0_AND_1,
    NOT_NEGATIVE,
    POSITIVE,
    OptimizerConfig,
    at_least,
    check,
    require,
)


@dataclasses.dataclass(frozen=True)
class SACConfig:
    """Soft actor-critic with a cost critic; defaults are those of Safe SLAC (arXiv:2210.01801)."""

    units: int = 256
    """Units of the two hidden layers of actor and critics."""
    discount: float = 0.99
    """Discount of rewards per agent step."""
    cost_discount: float = 0.995
    """Discount of costs per agent step."""
    temperature: float = 4e-3
    """Initial temperature, the weight of the entropy."""
    cost_critics: int = 1
    """Number of independent cost critics; targets and actor use the largest estimate."""
    cost_output: Literal["linear", "leaky"] = "linear"
    """Output of the cost critic: linear, with values in targets clipped at 0; or a LeakyReLU of
    slope 0.01 (release), which leaves almost no gradient below zero, where most estimates start if
    the cost limit is small.
    """
    target_fraction: float = 5e-3
    """EMA step of the target critics towards the critics, per update."""
    eval_action: Literal["sample", "mode"] = "sample"
    """What evaluation executes: a sample (release) or the squashed mean."""
    optimizer: OptimizerConfig = OptimizerConfig(2e-4, 1e-8, 40.0)
    """Optimiser of each critic and of the temperature."""
    actor_clip: float = 80.0
    """Global norm to which the actor's gradients are clipped."""

    def __post_init__(self):
        check(self, "sac", at_least(1), "units", "cost_critics")
        check(self, "sac", BETWEEN_0_AND_1, "discount", "cost_discount")
        check(self, "sac", POSITIVE, "temperature")
        require(
            0 < self.target_fraction <= 1,
            f"sac.target_fraction={self.target_fraction} must lie in 0..1",
        )


@dataclasses.dataclass(frozen=True)
class MultiplierConfig:
    """Lagrange multiplier driven by the real cost of training episodes."""

    init: float = 0.02
    """Initial multiplier."""
    learning_rate: float = 2e-4
    """Step per unit of episode cost above the limit, in the raw value whose softplus is the
    multiplier.
    """
    max_excess: float = 0.0
    """Upper bound of an episode's cost above the limit in this step; 0: no bound. It keeps costly
    early episodes from driving the multiplier too high.
    """

    def __post_init__(self):
        check(self, "multiplier", NOT_NEGATIVE, "learning_rate", "max_excess")
        require(
            self.init > 0, f"multiplier.init={self.init} must be positive: a softplus has no zero"
        )
