"""Configuration of a Safe SLAC agent.

Defaults are the published sizes and schedules (arXiv:2210.01801 and its code).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from agents.settings import NOT_NEGATIVE, POSITIVE, OptimizerConfig, at_least, check
from baselines.sac.config import MultiplierConfig, SACConfig


@dataclasses.dataclass(frozen=True)
class LatentConfig:
    """Two-level latent model, its heads and its losses."""

    z1: int = 32
    """Size of the lower latent, which observations correct."""
    z2: int = 200
    """Size of the upper latent, which carries information from the past."""
    feature: int = 200
    """Size of an encoded observation."""
    units: int = 256
    """Units of the hidden layers."""
    layers: int = 2
    """Hidden layers of each Gaussian, of the cost head and of the encoder and decoder of
    vectors.
    """
    conv_depth: int = 32
    """Channels of the first convolution; the next three have 2, 4 and 8 times as many."""
    cameras: Literal["first", "all"] = "all"
    """Which images of an observation are used: the first (published: one front camera) or all."""
    image_variance: float = 0.4
    """Fixed variance of decoded pixels, which lie in 0..1."""
    vector_variance: float = 0.1
    """Fixed variance of decoded vectors, in symlog (vectors are ours, not published)."""
    reward_std_min: float = 1e-3
    """Smallest standard deviation of the reward head. With the release's 1e-5, the likelihood of
    rewards that are exactly zero dominates the loss.
    """
    cost_scale: float = 30.0
    """Weight of the cost head's loss."""
    cost_positive: float = 100.0
    """Additional weight of that loss on transitions with a cost."""
    whole_windows: bool = False
    """Exclude windows that cross the end of an episode from all losses (release), instead of
    restarting the latent within them.
    """
    batch: int = 32
    """Windows of a batch that train the latent model; the rest train actor and critics."""
    optimizer: OptimizerConfig = OptimizerConfig(1e-4, 1e-8, 40.0)
    """Optimiser of the latent model."""

    def __post_init__(self):
        check(self, "latent", at_least(1), "z1", "z2", "feature", "units", "layers")
        check(self, "latent", at_least(1), "conv_depth", "batch")
        check(self, "latent", POSITIVE, "image_variance", "vector_variance", "reward_std_min")

    @property
    def size(self) -> int:
        """Size of the input of actor, critics and heads."""
        return self.z1 + self.z2


@dataclasses.dataclass(frozen=True)
class SafeSLACConfig:
    """A Safe SLAC agent."""

    cost_limit: float = 25.0
    """Cost allowed per episode."""
    pretrain_updates: int = 30_000
    """Updates of the latent model alone, on the prefill, before the policy first acts."""
    halve_after: int = 200_000
    """Updates after pre-training at which all learning rates are halved; the release uses 400 times
    1000 simulator steps, which are this many updates at its action repeat and one update per agent
    step.
    """
    latent: LatentConfig = LatentConfig()
    """Latent model."""
    sac: SACConfig = SACConfig()
    """Actor and critics."""
    multiplier: MultiplierConfig = MultiplierConfig()
    """Lagrange multiplier."""

    def __post_init__(self):
        check(self, "", NOT_NEGATIVE, "cost_limit", "pretrain_updates")
        check(self, "", at_least(1), "halve_after")
