"""Configuration of the off-policy learner with a model.

Defaults are the sizes of MBPO (Janner et al. 2019, arXiv:1906.08253). The methods are values of it,
see baselines.mbpo.presets.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from agents.settings import OptimizerConfig, PIDConfig, require
from baselines.sac.config import MultiplierConfig, SACConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Ensemble of probabilistic networks, and how it is fitted."""

    members: int = 7
    """Networks of the ensemble."""
    elites: int = 5
    """Members of least held-out error, which alone predict."""
    units: int = 200
    """Units of the hidden layers."""
    layers: int = 4
    """Hidden layers of each member."""
    fit: Literal["converge", "online"] = "converge"
    """Fit again every `fit_every` updates until the held-out error stops falling (MBPO), or take
    one gradient step an update on the replayed batch (Dyna, MVE).
    """
    fit_every: int = 5000
    """Updates between two fits to convergence."""
    window: int = 100_000
    """Replayed transitions that a fit to convergence draws from: the latest, batch by batch."""
    holdout: int = 5000
    """Held-out transitions on which a fit to convergence is judged: the latest."""
    holdout_share: float = 0.2
    """Share of all transitions that no member is trained on."""
    batch: int = 256
    """Transitions of a gradient step of a fit to convergence, drawn for each member anew."""
    epoch_steps: int = 400
    """Gradient steps between two looks at the held-out error."""
    max_epochs: int = 50
    """Looks after which a fit ends in any case."""
    patience: int = 5
    """Looks in a row without improvement of any member that end a fit."""
    improvement: float = 0.01
    """Share by which a held-out error must fall to count as improved."""
    warmup: int = 5000
    """Updates before anything reads the model; until then all data are real."""
    beta: float = 0.0
    """Exponent of the beta-NLL (Seitzer et al. 2022, arXiv:2203.09168): each entry's negative
    log-likelihood is weighted by its predicted variance to this power, without gradient. 0: plain
    likelihood (MBPO), which explains rare changes as noise and hardly learns their means. 1: the
    means' gradient is that of the squared error.
    """
    sampled: bool = True
    """Whether imagined states, rewards and costs are sampled from a member's predicted normals;
    otherwise they are its means (the model of MVE is deterministic).
    """
    within_range: bool = False
    """Whether imagined states, rewards and costs are clipped to the range of all observed ones.
    Otherwise sensors with heavy tails are sampled far outside it.
    """
    bound_weight: float = 0.01
    """Weight of the distance between the bounds of the predicted log-variances."""
    weight_decay: float = 5e-5
    """Weight of the squared kernels in the loss."""
    optimizer: OptimizerConfig = OptimizerConfig(1e-3)
    """Optimiser of the ensemble."""

    def __post_init__(self):
        for name in ("members", "elites", "units", "layers", "fit_every", "window", "holdout"):
            require(
                getattr(self, name) >= 1, f"model.{name}={getattr(self, name)} must be at least 1"
            )
        for name in ("batch", "epoch_steps", "max_epochs", "patience"):
            require(
                getattr(self, name) >= 1, f"model.{name}={getattr(self, name)} must be at least 1"
            )
        require(
            self.elites <= self.members,
            f"model.elites={self.elites} must lie in 1..members={self.members}",
        )
        require(0 <= self.beta <= 1, f"model.beta={self.beta} must lie in 0..1")
        require(
            0 < self.holdout_share < 1,
            f"model.holdout_share={self.holdout_share} must lie between 0 and 1",
        )
        require(
            self.fit == "online" or self.warmup >= self.fit_every,
            f"model.warmup={self.warmup} must be at least fit_every={self.fit_every}: before the "
            "first fit there is no model",
        )


@dataclasses.dataclass(frozen=True)
class RolloutConfig:
    """Branched rollouts from replayed states, and how their data mix with real data."""

    length_first: int = 1
    """Model steps of a rollout at first."""
    length_last: int = 1
    """Model steps of a rollout at last; 0 for both: no rollouts."""
    grow_from: int = 0
    """Updates up to which the length is the first one."""
    grow_until: int = 0
    """Updates from which on it is the last one; linear between."""
    starts: int = 20
    """Rollouts of an update, each from the state of another replayed transition."""
    capacity: int = 400_000
    """Imagined transitions that are kept, the latest."""
    real_ratio: float = 0.05
    """Share of real transitions in the batches of actor and critics."""

    def __post_init__(self):
        for name in ("length_first", "length_last", "grow_from"):
            require(getattr(self, name) >= 0, f"rollout.{name} must not be negative")
        require(
            self.grow_until >= self.grow_from,
            f"rollout.grow_until={self.grow_until} must be at least grow_from={self.grow_from}",
        )
        require(self.starts >= 1, f"rollout.starts={self.starts} must be at least 1")
        require(
            self.capacity >= self.starts * self.longest,
            f"rollout.capacity={self.capacity} must hold the {self.starts} rollouts of "
            f"{self.longest} steps of an update",
        )
        require(0 <= self.real_ratio <= 1, f"rollout.real_ratio={self.real_ratio} must lie in 0..1")

    @property
    def longest(self) -> int:
        """Model steps of the longest rollout."""
        return max(self.length_first, self.length_last)


@dataclasses.dataclass(frozen=True)
class ExpansionConfig:
    """Model-based value expansion (Feinberg et al. 2018, arXiv:1803.00101)."""

    length: int = 0
    """Model steps by which targets are expanded; 0: none."""
    td_k: bool = True
    """Critics fit the imagined states as well, each its own expanded return; else the real one
    alone.
    """

    def __post_init__(self):
        require(self.length >= 0, f"expansion.length={self.length} must not be negative")


@dataclasses.dataclass(frozen=True)
class MBPOConfig:
    """An agent: the learner without a model, or with one in any of its places."""

    cost_limit: float = 25.0
    """Cost allowed per episode."""
    constrained: bool = True
    """Whether a multiplier weighs costs in the actor's loss; else they are only predicted."""
    dual: Literal["softplus", "pid"] = "softplus"
    """What moves the multiplier after each training episode: a gradient step in a raw value whose
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
        require(self.cost_limit >= 0, f"cost_limit={self.cost_limit} must not be negative")

    @property
    def uses_model(self) -> bool:
        """Whether anything reads a model, so that there is one."""
        return self.rollout.longest > 0 or self.expansion.length > 0
