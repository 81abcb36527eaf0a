"""Settings of the planner. Imports no JAX: help pages are made from them."""

from __future__ import annotations

import dataclasses
from typing import Literal

from agents.settings import (
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    SHARE_BELOW_1,
    at_least,
    check,
    require,
    within,
)


@dataclasses.dataclass(frozen=True)
class PlannerConfig:
    """Constrained cross-entropy planner (SafeDreamer Alg. 1)."""

    horizon: int = 15
    """Planned model steps (agent steps)."""
    candidates: int = 500
    """Plans sampled per iteration."""
    elites: int = 50
    """Plans that refit the Gaussian."""
    iterations: int = 6
    """Refits per decision."""
    actor_fraction: float = 0.0
    """Actor rollouts added to the candidates, as a share of them."""
    momentum: float = 0.1
    """Share of the old mean kept at each refit."""
    init_std: float = 1.0
    """Standard deviation before the first refit."""
    min_std: float = 0.0
    """Lower bound of the standard deviation after a refit; 0 as in the release."""
    objective: Literal["return", "lagrangian", "reward_sum"] = "return"
    """What ranks plans: λ-return, λ-return minus multiplier times cost return, or the sum of
    rewards.
    """
    cost_critic: bool = True
    """Bootstrap a plan's cost return with the cost critic at its end, as in the release; otherwise
    objective lagrangian subtracts only the plan's own discounted costs.
    """
    feasible_filter: bool = True
    """Rank only plans whose predicted episode cost is within the limit; lowest cost first if fewer
    than `elites` are.
    """
    feasible_cost: Literal["sum", "return"] = "sum"
    """Episode cost that the filter compares with the limit: the extrapolated sum of a plan's costs
    (release), or its rescaled discounted cost return, bootstrapped with the cost critic (unless
    cost_critic is off).
    """
    elite_weights: Literal["uniform", "softmax"] = "uniform"
    """Weights of the elites in the refit."""
    temperature: float = 10.0
    """Sharpness of softmax weights."""
    cost_scale: Literal["release", "exact"] = "release"
    """Factor from a plan's predicted cost to an episode's: 1000 / horizon (release), or episode
    agent steps / horizon (exact).
    """
    latents: Literal["sample", "mode"] = "sample"
    """Imagined latents of a plan: sampled (release), or the prior's modes, so that no plan is
    chosen because of a lucky sample.
    """
    cost_margin: float = 0.0
    """Margin, in cost per episode, by which plans must stay below the limit (0: release); with one
    above the limit only plans without predicted costs are safe.
    """
    pessimism: int = 1
    """Imagined rollouts per plan: rewards are averaged, costs are the maximum (1: release; more
    require latents sample).
    """
    actor_share: float = 0.0
    """Share of the training environments, rounded down, in which the actor acts instead of the
    planner, for rows that plans avoid (0: release). Evaluation always plans.
    """
    noise_exponent: float = 0.0
    """Temporal correlation of sampled plans: their noise has a power spectrum of frequency to minus
    this (0: independent steps, release; 1 to 3: smooth plans, iCEM, arXiv:2008.06389).
    """
    kept_elites: int = 0
    """Number of elites of the last iteration or, shifted by one step, of the last decision among
    the candidates, instead of sampled plans (0: release; iCEM).
    """
    candidate_decay: float = 1.0
    """Factor by which the number of candidates decreases per iteration, down to twice the elites
    (1: release; iCEM 1.25).
    """
    action: Literal["mean", "sample"] = "mean"
    """Action executed in training: first row of the final mean (release) or a sample of the final
    distribution (paper). Evaluation always executes the mean.
    """

    def __post_init__(self):
        check(self, "planner", at_least(1), "horizon", "candidates", "iterations", "pessimism")
        check(self, "planner", at_least(1), "candidate_decay")
        check(self, "planner", SHARE, "actor_fraction", "actor_share")
        check(self, "planner", SHARE_BELOW_1, "momentum")
        check(self, "planner", POSITIVE, "init_std")
        check(self, "planner", NOT_NEGATIVE, "cost_margin")
        check(self, "planner", within(0, 10), "noise_exponent")
        require(
            1 <= self.elites <= self.candidates,
            f"planner.elites={self.elites} must lie in 1..planner.candidates={self.candidates}",
        )
        require(
            self.pessimism == 1 or self.latents == "sample",
            f"planner.pessimism={self.pessimism} compares sampled rollouts: set "
            "planner.latents=sample",
        )
        require(
            0 <= self.kept_elites <= self.elites,
            f"planner.kept_elites={self.kept_elites} must lie in 0..planner.elites={self.elites}",
        )
        require(
            self.kept_elites < self.candidates,
            f"planner.kept_elites={self.kept_elites} must be less than "
            f"planner.candidates={self.candidates}, which they are counted among",
        )

    @property
    def candidates_per_iteration(self) -> tuple[int, ...]:
        """Candidates of each iteration, including kept elites but not actor rollouts."""
        least = min(self.candidates, 2 * self.elites)
        return tuple(
            max(least, int(self.candidates / self.candidate_decay**i))
            for i in range(self.iterations)
        )

    @property
    def proposals(self) -> int:
        """Actor rollouts among the candidates."""
        return int(self.actor_fraction * self.candidates)
