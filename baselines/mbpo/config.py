"""Configuration of the off-policy learner with a model.

Defaults are the sizes of MBPO (Janner et al. 2019, arXiv:1906.08253). Methods are values of this
configuration, see baselines.mbpo.presets.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from agents.settings import (
    BETWEEN_0_AND_1,
    NOT_NEGATIVE,
    SHARE,
    OptimizerConfig,
    PIDConfig,
    at_least,
    check,
    require,
)
from baselines.sac.config import MultiplierConfig, SACConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Ensemble of probabilistic networks, and how it is fitted."""

    members: int = 7
    """Networks of the ensemble."""
    elites: int = 5
    """Members of lowest held-out error, the only ones used to predict."""
    units: int = 200
    """Units of the hidden layers."""
    layers: int = 4
    """Hidden layers of each member."""
    fit: Literal["converge", "online"] = "converge"
    """Refit every `fit_every` updates until the held-out error stops falling (MBPO), or take one
    gradient step per update on the replayed batch (Dyna, MVE).
    """
    fit_every: int = 5000
    """Updates between fits to convergence."""
    window: int = 100_000
    """Latest replayed transitions, collected batch by batch, on which fits to convergence train."""
    holdout: int = 5000
    """Latest held-out transitions on which fits to convergence are evaluated."""
    holdout_share: float = 0.2
    """Share of transitions held out from training."""
    batch: int = 256
    """Batch size of fits to convergence, drawn separately for each member."""
    epoch_steps: int = 400
    """Gradient steps per epoch, after which the held-out error is evaluated."""
    max_epochs: int = 50
    """Maximum number of epochs of a fit."""
    patience: int = 5
    """Consecutive epochs without improvement of any member after which a fit ends."""
    improvement: float = 0.01
    """Relative decrease of a held-out error that counts as an improvement."""
    warmup: int = 5000
    """Updates before the model is used; until then all data are real."""
    beta: float = 0.0
    """Exponent of the beta-NLL (Seitzer et al. 2022, arXiv:2203.09168): each entry's negative
    log-likelihood is weighted by its predicted variance to this power, without gradient. 0: plain
    likelihood (MBPO), which treats rare changes as noise and hardly learns their means. 1: the
    gradient of the means is that of the squared error.
    """
    sampled: bool = True
    """Sample imagined states, rewards and costs from a member's predicted normals; otherwise use
    the means (the model of MVE is deterministic).
    """
    within_range: bool = False
    """Clip imagined states, rewards and costs to the range of all observed ones. Otherwise sensors
    with heavy tails are sampled far outside it.
    """
    bound_weight: float = 0.01
    """Weight of the distance between the bounds of the predicted log-variances."""
    weight_decay: float = 5e-5
    """Weight decay: weight of the squared kernels in the loss."""
    optimizer: OptimizerConfig = OptimizerConfig(1e-3)
    """Optimiser of the ensemble."""

    def __post_init__(self):
        check(self, "model", at_least(1), "members", "elites", "units", "layers", "fit_every")
        check(self, "model", at_least(1), "window", "holdout", "batch")
        check(self, "model", at_least(1), "epoch_steps", "max_epochs", "patience")
        check(self, "model", SHARE, "beta")
        check(self, "model", BETWEEN_0_AND_1, "holdout_share")
        require(
            self.elites <= self.members,
            f"model.elites={self.elites} must lie in 1..members={self.members}",
        )
        require(
            self.fit == "online" or self.warmup >= self.fit_every,
            f"model.warmup={self.warmup} must be at least fit_every={self.fit_every}: before the "
            "first fit there is no model",
        )
        require(
            self.fit == "online" or self.holdout_share * self.warmup >= 1,
            f"model.holdout_share={self.holdout_share} of the batches of warmup={self.warmup} "
            "updates leaves nothing to judge the first fit by, and it would train nothing; at "
            f"least {1 / max(1, self.warmup):.2g}",
        )


@dataclasses.dataclass(frozen=True)
class RolloutConfig:
    """Branched rollouts from replayed states, and the mixture of their data with real data."""

    length_first: int = 1
    """Initial number of model steps of a rollout."""
    length_last: int = 1
    """Final number of model steps of a rollout; 0 for both: no rollouts."""
    grow_from: int = 0
    """Updates up to which rollouts have the initial length."""
    grow_until: int = 0
    """Updates from which they have the final length; linear in between."""
    starts: int = 20
    """Rollouts per update, each from the state of a different replayed transition."""
    capacity: int = 400_000
    """Number of latest imagined transitions kept."""
    real_ratio: float = 0.05
    """Share of real transitions in batches for actor and critics."""

    def __post_init__(self):
        check(self, "rollout", NOT_NEGATIVE, "length_first", "length_last", "grow_from")
        check(self, "rollout", at_least(1), "starts")
        check(self, "rollout", SHARE, "real_ratio")
        require(
            self.grow_until >= self.grow_from,
            f"rollout.grow_until={self.grow_until} must be at least grow_from={self.grow_from}",
        )
        require(
            self.capacity >= self.starts * self.longest,
            f"rollout.capacity={self.capacity} must hold the {self.starts} rollouts of "
            f"{self.longest} steps of an update",
        )

    @property
    def longest(self) -> int:
        """Model steps of the longest rollout."""
        return max(self.length_first, self.length_last)


@dataclasses.dataclass(frozen=True)
class ExpansionConfig:
    """Model-based value expansion (Feinberg et al. 2018, arXiv:1803.00101)."""

    length: int = 0
    """Model steps by which the critics' targets are expanded; 0: none."""
    td_k: bool = True
    """Fit the critics also at the imagined states, each to its own expanded return; otherwise only
    at the real one.
    """

    def __post_init__(self):
        check(self, "expansion", NOT_NEGATIVE, "length")


@dataclasses.dataclass(frozen=True)
class MBPOConfig:
    """An agent: the learner without a model, or with one for rollouts or value expansion."""

    cost_limit: float = 25.0
    """Cost allowed per episode."""
    constrained: bool = True
    """Weigh costs in the actor's loss by a multiplier; otherwise they are only predicted."""
    dual: Literal["softplus", "pid"] = "softplus"
    """Update of the multiplier after each training episode: a gradient step on a raw value whose
    softplus it is, or a PID controller.
    """
    sac: SACConfig = SACConfig()
    """Actor and critics."""
    multiplier: MultiplierConfig = MultiplierConfig()
    """The multiplier of `dual=softplus`."""
    pid: PIDConfig = PIDConfig()
    """The multiplier of `dual=pid`."""
    model: ModelConfig = ModelConfig()
    """Ensemble."""
    rollout: RolloutConfig = RolloutConfig()
    """Imagined data for actor and critics."""
    expansion: ExpansionConfig = ExpansionConfig()
    """Imagined steps in the critics' targets."""

    def __post_init__(self):
        check(self, "", NOT_NEGATIVE, "cost_limit")

    @property
    def uses_model(self) -> bool:
        """Whether rollouts or value expansion use a model."""
        return self.rollout.longest > 0 or self.expansion.length > 0
