"""Configuration of soft actor-critic with a cost critic and of its multiplier."""

from __future__ import annotations

import dataclasses
from typing import Literal

from agents.settings import OptimizerConfig, require


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
    """Initial weight of the entropy."""
    cost_critics: int = 1
    """Number of independent cost critics; targets and actor use the largest estimate."""
    cost_output: Literal["linear", "leaky"] = "linear"
    """What the cost critic's output passes through: nothing, and targets continue with values of at
    least 0; or a LeakyReLU of slope 0.01 (release), in which estimates below zero are all but dead:
    with a small cost limit, near which they start, most of them.
    """
    target_fraction: float = 5e-3
    """Share of a critic that moves into its target copy each update."""
    eval_action: Literal["sample", "mode"] = "sample"
    """What evaluation executes: a sample (release) or the squashed mean."""
    optimizer: OptimizerConfig = OptimizerConfig(2e-4, 1e-8, 40.0)
    """Optimiser of each critic and of the temperature."""
    actor_clip: float = 80.0
    """Global gradient norm above which the actor's gradients are scaled down."""

    def __post_init__(self):
        require(self.units >= 1, f"sac.units={self.units} must be at least 1")
        for name in ("discount", "cost_discount"):
            require(
                0 < getattr(self, name) < 1,
                f"sac.{name}={getattr(self, name)} must lie between 0 and 1",
            )
        require(
            0 < self.target_fraction <= 1,
            f"sac.target_fraction={self.target_fraction} must lie in 0..1",
        )
        require(self.temperature > 0, f"sac.temperature={self.temperature} must be positive")
        require(self.cost_critics >= 1, f"sac.cost_critics={self.cost_critics} must be at least 1")


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
    """Upper bound of an episode's cost above the limit in this step; 0: no bound. It keeps the
    costly episodes before learning from winding the multiplier up.
    """

    def __post_init__(self):
        require(
            self.max_excess >= 0, f"multiplier.max_excess={self.max_excess} must not be negative"
        )
        require(
            self.init > 0, f"multiplier.init={self.init} must be positive: a softplus has no zero"
        )
        require(
            self.learning_rate >= 0,
            f"multiplier.learning_rate={self.learning_rate} must not be negative",
        )
