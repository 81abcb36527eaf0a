"""Configuration of a LAMBDA agent.

Defaults are the published vision settings, with defects of the published code corrected.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from agents.settings import (
    BETWEEN_0_AND_1,
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    SHARE_BELOW_1,
    AugmentedConfig,
    OptimizerConfig,
    at_least,
    check,
    require,
)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Gaussian recurrent state-space model with encoder, decoder and heads."""

    deter: int = 200
    """Size of the deterministic latent, and units of the dense layers around it."""
    stoch: int = 30
    """Size of the Gaussian latent."""
    min_std: float = 0.1
    """Smallest standard deviation of the Gaussian latent."""
    head_units: int = 400
    """Units of the reward, cost and terminal heads."""
    head_layers: int = 2
    """Hidden layers of these heads."""
    cameras: Literal["front", "all"] = "front"
    """Images used if the environment provides several: the first (published) or all."""
    conv_depth: int = 32
    """Channels of the first convolution; the others have 2, 4 and 8 times as many."""
    vector_units: int = 400
    """Units of the vector encoder and decoder."""
    vector_layers: int = 3
    """Hidden layers of the vector encoder and decoder."""
    vector_scale: float = 1.0
    """Weight of the vector reconstruction loss."""
    reward_scale: float = 1.0
    """Weight of the reward loss, a unit-variance normal's: small rewards give a weak signal."""
    kl_scale: float = 1.0
    """Weight of the balanced KL."""
    kl_balance: float = 0.8
    """Share of the KL that trains the prior; the rest trains the posterior."""
    free_nats: float = 3.0
    """Free nats: mean KL of a batch below which it has no gradient."""
    cost_weight: float = 100.0
    """Weight of the cost head's loss on steps whose cost is at least 1."""
    optimizer: OptimizerConfig = OptimizerConfig(5e-4, 1e-5, 100.0)
    """Optimiser; its learning rate is the peak of the triangular schedule."""
    low_rate: float = 1e-4
    """Lowest learning rate of the triangular schedule."""

    def __post_init__(self):
        check(self, "model", at_least(1), "deter", "stoch", "head_units", "head_layers")
        check(self, "model", at_least(1), "conv_depth", "vector_units", "vector_layers")
        check(self, "model", POSITIVE, "min_std")
        check(self, "model", SHARE, "kl_balance")
        require(
            0.0 < self.low_rate <= self.optimizer.learning_rate,
            f"model.low_rate={self.low_rate} must lie in "
            f"0..model.optimizer.learning_rate={self.optimizer.learning_rate}",
        )

    @property
    def feat_dim(self) -> int:
        return self.stoch + self.deter


@dataclasses.dataclass(frozen=True)
class SwagConfig:
    """SWAG posterior over the parameters that imagination uses (Maddox et al.,
    arXiv:1902.02476).
    """

    start: int = 500
    """Model updates before the first snapshot."""
    period: int = 200
    """Model updates between snapshots, and half the period of the learning rate."""
    rank: int = 20
    """Deviations kept; samples differ from the current parameters once there are this many."""
    decay: float = 0.8
    """Share of the old value in the running mean and variance."""
    scale: float = 1.0
    """Factor on the variance of SWAG's samples."""
    samples: int = 5
    """Parameter samples per update; each imagines a trajectory from every start."""

    def __post_init__(self):
        check(self, "swag", at_least(1), "period", "samples")
        check(self, "swag", NOT_NEGATIVE, "start", "scale")
        check(self, "swag", SHARE_BELOW_1, "decay")
        require(
            self.rank >= 2,
            f"swag.rank={self.rank} must be at least 2: a covariance needs two deviations",
        )

    @property
    def warm_updates(self) -> int:
        """Model updates before samples are drawn."""
        return self.start + self.rank * self.period


@dataclasses.dataclass(frozen=True)
class ActorConfig:
    """Squashed Gaussian actor."""

    units: int = 400
    """Units of its layers."""
    layers: int = 4
    """Hidden layers."""
    init_std: float = 5.0
    """Initial standard deviation, before squashing, without `min_std` and the bound `max_std`."""
    min_std: float = 1e-4
    """Smallest standard deviation, before squashing."""
    max_std: float = math.inf
    """Upper bound of the standard deviation, before squashing: a large one saturates actions at -1
    or 1, without gradients.
    """
    mean_scale: float = 5.0
    """Bound of the mean, before squashing."""
    mode_samples: int = 100
    """Samples from which evaluation takes the one of highest density."""
    optimizer: OptimizerConfig = OptimizerConfig(8e-5, 1e-5, 5.0)
    """Optimiser."""

    def __post_init__(self):
        check(self, "actor", at_least(1), "units", "layers", "mode_samples")
        check(self, "actor", POSITIVE, "mean_scale")
        require(
            0 < self.min_std < self.init_std,
            f"actor.min_std={self.min_std} must lie in 0..init_std={self.init_std}",
        )
        require(
            self.max_std > self.init_std,
            f"actor.max_std={self.max_std} must exceed init_std={self.init_std}",
        )


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """Reward and cost critic."""

    units: int = 400
    """Units of their layers."""
    layers: int = 3
    """Hidden layers."""
    slow_every: int = 100
    """Updates between copies of the critics into their target critics."""
    optimizer: OptimizerConfig = OptimizerConfig(8e-5, 1e-5, 1.0)
    """Optimiser of the reward critic."""
    cost_optimizer: OptimizerConfig = OptimizerConfig(2e-4, 1e-5, 50.0)
    """Optimiser of the cost critic."""

    def __post_init__(self):
        check(self, "critic", at_least(1), "units", "layers", "slow_every")


@dataclasses.dataclass(frozen=True)
class ImaginationConfig:
    """Imagined trajectories that train actor and critics."""

    horizon: int = 15
    """Imagined model steps (agent steps)."""
    starts: int = 0
    """Posterior states from which they start, drawn without replacement; 0 takes all states of the
    batch.
    """
    lam: float = 0.95
    """λ of the λ-returns of rewards."""
    cost_lam: float = 0.95
    """λ of the λ-returns of costs."""
    discount: float = 0.99
    """Discount of rewards per agent step."""
    cost_discount: float = 0.995
    """Discount of costs per agent step."""

    def __post_init__(self):
        require(
            self.horizon >= 2,
            f"imagination.horizon={self.horizon} must be at least 2 steps: the last only "
            "bootstraps",
        )
        check(self, "imagination", NOT_NEGATIVE, "starts")
        check(self, "imagination", SHARE, "lam", "cost_lam")
        check(self, "imagination", BETWEEN_0_AND_1, "discount", "cost_discount")


@dataclasses.dataclass(frozen=True)
class ReleaseConfig:
    """Defects of the published code that affect results and are corrected by default.

    Each switch restores one defect.
    """

    reversed_returns: bool = False
    """Assign λ-returns to imagined steps in reverse time order."""
    biased_moments: bool = False
    """Start SWAG's running mean and variance from zero: the deviations of the first forty or so
    snapshots are then spurious.
    """
    unclipped_model: bool = False
    """Leave the world model's gradients unclipped."""
    select_by_value: bool = False
    """Choose among posterior samples by the critics' mean value along a trajectory, instead of its
    mean λ-return.
    """
    own_noise: bool = False
    """Draw separate noise of actions and latents for each posterior sample: the most rewarding
    trajectory is then the luckiest.
    """


@dataclasses.dataclass(frozen=True)
class LambdaConfig:
    """A LAMBDA agent."""

    cost_limit: float = 25.0
    """Cost allowed per episode."""
    limit_scale: Literal["rescaled", "raw"] = "rescaled"
    """Bound of the imagined discounted cost return: the return of an episode that just meets the
    limit (rescaled), or the limit itself (published).
    """
    pretrain_updates: int = 100
    """Number of initial updates that train only the world model."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype of the world model and the actor; parameters, critics, losses and distributions
    stay float32.
    """
    model: ModelConfig = ModelConfig()
    """World model."""
    swag: SwagConfig = SwagConfig()
    """Posterior over its parameters."""
    actor: ActorConfig = ActorConfig()
    """Actor."""
    critic: CriticConfig = CriticConfig()
    """Reward and cost critic."""
    imagination: ImaginationConfig = ImaginationConfig()
    """Imagined training trajectories."""
    augmented: AugmentedConfig = AugmentedConfig()
    """Augmented Lagrangian on imagined costs."""
    release: ReleaseConfig = ReleaseConfig()
    """Defects of the published code to restore."""

    def __post_init__(self):
        check(self, "", NOT_NEGATIVE, "cost_limit", "pretrain_updates")
        require(
            self.augmented.driven_by == "imagined",
            f"augmented.driven_by={self.augmented.driven_by} is not LAMBDA's: imagined costs "
            "drive its multiplier, use imagined",
        )

    def imagined_limit(self, episode_agent_steps: int) -> float:
        """The bound of the imagined discounted cost return, see `limit_scale`.

        An episode of L agent steps with cost b costs b / L per step, a discounted return of b / L
        / (1 - discount).
        """
        if self.limit_scale == "raw":
            return self.cost_limit
        return self.cost_limit / episode_agent_steps / (1.0 - self.imagination.cost_discount)
