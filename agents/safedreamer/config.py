"""Configuration of a SafeDreamer agent.

Defaults are the release's vision settings (docs/concepts/safedreamer.md#sizes-of-the-release).
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from agents.safedreamer.planner_config import PlannerConfig
from agents.settings import (
    NOT_NEGATIVE,
    POSITIVE,
    SHARE,
    SHARE_BELOW_1,
    AugmentedConfig,
    OptimizerConfig,
    PIDConfig,
    at_least,
    check,
    require,
)


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """Recurrent state-space model with encoder, decoder and heads."""

    deter: int = 512
    """Size of the deterministic latent."""
    stoch: int = 48
    """Number of categorical latent variables."""
    classes: int = 48
    """Classes per latent variable."""
    units: int = 512
    """Units of the dense blocks in the RSSM."""
    head_units: int = 512
    """Units of the dense blocks in all heads, actor and critics."""
    head_layers: int = 2
    """Dense blocks of each head, actor and critic."""
    vector_units: int = 1024
    """Units of the vector encoder and decoder."""
    vector_layers: int = 5
    """Dense blocks of the vector encoder and decoder."""
    conv_depth: int = 32
    """Channels of the first convolution; the others have 2, 4 and 8 times as many."""
    conv_impl: Literal["auto", "xla", "matmul"] = "auto"
    """Form of the convolutions: XLA's, or matrix products (faster on a CPU); equal results."""
    conv_chunk: int = 64
    """Images processed at a time by convolutions as matrix products, to save memory; 0 for all."""
    bins: int = 255
    """Bins of the two-hot heads."""
    unimix: float = 0.01
    """Share of the uniform distribution in the latent's class probabilities."""
    free_nats: float = 1.0
    """Free nats: KL below which the KL terms have no gradient."""
    dyn_scale: float = 0.5
    """Weight of the KL that trains the prior."""
    rep_scale: float = 0.1
    """Weight of the KL that trains the posterior."""
    image_scale: float = 1.0
    """Weight of the image reconstruction loss."""
    vector_scale: float = 1.0
    """Weight of the vector reconstruction loss."""
    motion_scale: float = -1.0
    """Weight of the motion loss of tracked hazards; -1 uses vector_scale."""
    vector_target: Literal["raw", "symlog"] = "raw"
    """Targets of the squared error of vectors: raw values (release), or their symlog (DreamerV3),
    which weighs near objects more.
    """
    vector_loss: Literal["sum", "residual"] = "sum"
    """Vector reconstruction loss: squared errors summed over entries (release), or each first
    divided by its own running mean squared error, so that noisy sensors do not dominate
    (agents.nn.residuals; vector_scale is then about 1).
    """
    residual_floor: float = 0.05
    """Lower bound of the mean squared error by which an entry's error is divided, in squared units
    of vector_target (vector_loss residual).
    """
    residual_decay: float = 0.99
    """Share of the old value in the running mean squared errors, per update (vector_loss
    residual).
    """
    cost_source: Literal["head", "geometry", "tracked", "none"] = "head"
    """Source of imagined costs: a learned head; hazard positions (coordinates only), either decoded
    from the latent (geometry) or observed and then transformed by the robot's predicted motion
    (tracked, not in the release); or none.
    """
    cost_weight: float = 10.0
    """Weight of the cost head's loss on steps whose cost is at least 1."""
    cost_share: float = 0.0
    """Smallest share of such steps in the cost head's loss of a batch that contains any: their
    weight grows as they become rare. 0 leaves it at cost_weight (release).
    """
    hazard_radius: float = 0.25
    """Distance in metres within which a decoded hazard costs 1 (cost_source geometry or
    tracked).
    """
    hazard_softness: float = 0.0
    """Metres beyond the radius over which that cost falls linearly to 0, so that it has a gradient;
    0 is a step (release).
    """
    lidar_bins: int = 16
    """Bins of the lidar of tracked hazards, an additional input of actor and critics (cost_source
    tracked).
    """
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimiser of the world model."""

    def __post_init__(self):
        check(self, "model", at_least(1), "deter", "stoch", "units", "head_units", "head_layers")
        check(self, "model", at_least(1), "vector_units", "vector_layers", "conv_depth")
        check(self, "model", at_least(2), "classes")
        check(self, "model", at_least(3), "lidar_bins")
        check(self, "model", POSITIVE, "residual_floor", "hazard_radius")
        check(self, "model", NOT_NEGATIVE, "hazard_softness")
        check(self, "model", SHARE_BELOW_1, "residual_decay", "cost_share")
        require(
            self.bins >= 3 and self.bins % 2 == 1,
            f"model.bins={self.bins} must be odd and at least 3, so that one bin is zero",
        )
        require(
            self.motion_scale == -1.0 or self.motion_scale >= 0.0,
            f"model.motion_scale={self.motion_scale} must not be negative, or be -1 to equal "
            "vector_scale",
        )
        require(
            0.0 < self.unimix < 1.0,
            f"model.unimix={self.unimix} must lie between 0 and 1: at 0 a KL can be infinite",
        )

    @property
    def scale_of_motion(self) -> float:
        return self.vector_scale if self.motion_scale < 0 else self.motion_scale

    @property
    def counts_hazards(self) -> bool:
        """Whether predicted costs count hazards once per agent step, while real costs are sums over
        simulator steps.
        """
        return self.cost_source in ("geometry", "tracked")


@dataclasses.dataclass(frozen=True)
class ActorConfig:
    """Gaussian actor with a tanh-squashed mean."""

    min_std: float = 0.1
    """Smallest standard deviation of an action."""
    max_std: float = 1.0
    """Largest standard deviation of an action."""
    entropy_scale: float = 3e-4
    """Weight of the entropy bonus."""
    eval_action: Literal["sample", "mode"] = "mode"
    """What evaluation executes: the distribution's mean, or a sample as in training."""
    gradient: Literal["dynamics", "reinforce", "mixed"] = "dynamics"
    """Estimator of the gradient of imagined returns: through the model's dynamics (release), by the
    likelihood of the actions (REINFORCE with the critic as baseline), or a mix of both.
    """
    reinforce_share: float = 0.9
    """Share of REINFORCE in `gradient=mixed`."""
    optimizer: OptimizerConfig = OptimizerConfig(3e-5, 1e-5, 100.0)
    """Optimiser of the actor."""

    def __post_init__(self):
        require(
            0 < self.min_std <= self.max_std,
            f"actor.min_std={self.min_std} must lie in 0..max_std={self.max_std}",
        )
        check(self, "actor", SHARE, "reinforce_share")


@dataclasses.dataclass(frozen=True)
class CriticConfig:
    """Reward and cost critic: two-hot heads, each regularised towards a slow copy of itself."""

    slow_fraction: float = 0.02
    """EMA step of the slow copy towards the critic, per update."""
    slow_scale: float = 1.0
    """Weight of the regulariser towards the slow copy's mean."""
    optimizer: OptimizerConfig = OptimizerConfig(3e-5, 1e-5, 100.0)
    """Optimiser of each critic."""


@dataclasses.dataclass(frozen=True)
class ImaginationConfig:
    """Imagined rollouts that train actor and critics."""

    horizon: int = 15
    """Imagined model steps (agent steps)."""
    lam: float = 0.95
    """λ of the λ-returns."""
    discount_horizon: float = 333.0
    """Horizon of the discount 1 - 1 / horizon, in agent steps."""
    cost_discount_horizon: float = 0.0
    """Discount horizon of costs, in agent steps; 0 uses the rewards' (release). A shorter one
    leaves out costs too far ahead to be predicted.
    """
    cost_lam: float = -1.0
    """λ of the λ-returns of costs; -1 uses the rewards' (release). With a smaller one the actor
    relies more on the cost critic.
    """
    starts: int = 0
    """Posterior states from which rollouts start, drawn without replacement; 0 takes all states of
    the batch.
    """
    norm_decay: float = 0.99
    """EMA decay of the return percentiles."""

    def __post_init__(self):
        check(self, "imagination", at_least(1), "horizon")
        check(self, "imagination", SHARE, "lam")
        check(self, "imagination", NOT_NEGATIVE, "starts")
        require(
            self.discount_horizon > 1.0,
            f"imagination.discount_horizon={self.discount_horizon} must exceed 1 step",
        )
        require(
            self.cost_discount_horizon == 0.0 or self.cost_discount_horizon > 1.0,
            f"imagination.cost_discount_horizon={self.cost_discount_horizon} must exceed 1 "
            "step, or be 0 to equal discount_horizon",
        )
        require(
            self.cost_lam == -1.0 or 0.0 <= self.cost_lam <= 1.0,
            f"imagination.cost_lam={self.cost_lam} must lie in 0..1, or be -1 to equal lam",
        )

    @property
    def discount(self) -> float:
        return 1.0 - 1.0 / self.discount_horizon

    @property
    def cost_discount(self) -> float:
        return 1.0 - 1.0 / self.horizon_of_costs

    @property
    def horizon_of_costs(self) -> float:
        return self.cost_discount_horizon or self.discount_horizon

    @property
    def lam_of_costs(self) -> float:
        return self.lam if self.cost_lam < 0 else self.cost_lam


@dataclasses.dataclass(frozen=True)
class SafeDreamerConfig:
    """A SafeDreamer variant: how it acts, how it is constrained, and the sizes of its parts."""

    act_with: Literal["actor", "planner"] = "actor"
    """What chooses actions: the actor network or the planner."""
    multiplier: Literal["none", "pid", "augmented"] = "none"
    """Lagrange multiplier: none, PID on episode costs (in the planner's score or, with act_with
    actor, the actor's loss), augmented Lagrangian on imagined cost returns (actor; driven as in
    `augmented.driven_by`).
    """
    actor_constraint: Literal["method", "none", "pid", "augmented"] = "method"
    """Multiplier in the actor's loss: that of the method (`multiplier`, but none where a PID
    multiplier acts in a planner's score), or this one. With act_with planner it makes the planner's
    proposals come from a constrained actor (not in the paper).
    """
    cost_limit: float = 2.0
    """Cost allowed per episode."""
    pessimistic: bool = True
    """Constrain the sum over the horizon of imagined cost returns instead of their mean (augmented
    Lagrangian).
    """
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Compute dtype; parameters, norms, losses and distributions stay float32."""
    model: ModelConfig = ModelConfig()
    """World model."""
    actor: ActorConfig = ActorConfig()
    """Actor."""
    critic: CriticConfig = CriticConfig()
    """Reward and cost critic."""
    imagination: ImaginationConfig = ImaginationConfig()
    """Imagined training rollouts."""
    planner: PlannerConfig = PlannerConfig()
    """Planner; unused with act_with actor."""
    pid: PIDConfig = PIDConfig()
    """PID multiplier; unused unless multiplier is pid."""
    augmented: AugmentedConfig = AugmentedConfig()
    """Augmented Lagrangian; unused unless multiplier is augmented."""

    def __post_init__(self):
        check(self, "", NOT_NEGATIVE, "cost_limit")
        plans = self.act_with == "planner"
        needs_cost = {self.multiplier, self.actor_multiplier} != {"none"} or (
            plans and (self.planner.feasible_filter or self.planner.objective == "lagrangian")
        )
        require(
            not needs_cost or self.model.cost_source != "none",
            "this variant needs predicted costs: set model.cost_source to head (or geometry), "
            "not none",
        )
        require(
            not (plans and self.planner.objective == "lagrangian" and self.multiplier != "pid"),
            "planner.objective=lagrangian needs multiplier=pid",
        )
        require(
            self.multiplier != "pid" or not plans or self.planner.objective == "lagrangian",
            "multiplier=pid with act_with=planner acts through the plan's score: set "
            "planner.objective=lagrangian",
        )
        require(
            plans or self.actor_constraint in ("method", self.multiplier),
            f"actor_constraint={self.actor_constraint} differs from "
            f"multiplier={self.multiplier}, which is what constrains an actor that acts: set "
            "multiplier, and leave actor_constraint at method",
        )

    @property
    def actor_multiplier(self) -> Literal["none", "pid", "augmented"]:
        """The multiplier in the actor's loss, also if the planner acts."""
        if self.actor_constraint != "method":
            return self.actor_constraint
        return (
            "none" if self.multiplier == "pid" and self.act_with == "planner" else self.multiplier
        )

    @property
    def uses_pid(self) -> bool:
        """Whether a PID multiplier is used, in the planner's score, the actor's loss or both."""
        return "pid" in (self.multiplier, self.actor_multiplier)

    @property
    def use_cost(self) -> bool:
        """Whether costs are predicted, so that a cost critic exists."""
        return self.model.cost_source != "none"
