"""Named settings of the SafeDreamer family: five methods, three presets.

`release` holds the authors' sizes, `cpu` is sized for two cores and an hour, `debug` for seconds:
docs/concepts/safedreamer.md#sizes-of-the-release. Methods are values of one configuration. The
observation kind selects the release's vision or vector sizes and, together with the task's sources
of cost, the source of predicted costs.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, TypeAlias

from agents.safedreamer.config import (
    ActorConfig,
    CriticConfig,
    ImaginationConfig,
    ModelConfig,
    SafeDreamerConfig,
)
from agents.safedreamer.planner_config import PlannerConfig
from agents.settings import AugmentedConfig, OptimizerConfig, PIDConfig

METHODS: tuple[str, ...] = ("osrp", "osrp_lag", "bsrp_lag", "dreamerv3", "cem")
PLANNING = ("osrp", "osrp_lag", "cem")  # act by planning
UNSAFE = ("dreamerv3", "cem")  # predict no costs

_VECTOR_SIZES = ModelConfig(
    deter=256,
    stoch=16,
    classes=16,
    units=256,
    head_units=256,
    vector_units=256,
    vector_layers=3,
    vector_scale=5.0,
)


def with_method(base: SafeDreamerConfig, method: str) -> SafeDreamerConfig:
    """`base` with the settings that define the method.

    They choose what acts, constrains and ranks plans (docs/concepts/safedreamer.md#methods).
    """
    choices: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "osrp": ({"act_with": "planner"}, {}),
        "osrp_lag": ({"act_with": "planner", "multiplier": "pid"}, {"objective": "lagrangian"}),
        "bsrp_lag": ({"multiplier": "augmented"}, {}),
        "dreamerv3": ({}, {}),
        "cem": (
            {"act_with": "planner"},
            {"objective": "reward_sum", "feasible_filter": False, "elite_weights": "softmax"},
        ),
    }
    agent, planner = choices[method]
    return dataclasses.replace(base, **agent, planner=dataclasses.replace(base.planner, **planner))


Source: TypeAlias = Literal["head", "geometry", "tracked", "none"]


def cost_source(method: str, safe: Source) -> Source:
    """Source of the method's predicted costs: `safe` unless it predicts none."""
    return "none" if method in UNSAFE else safe


def release(method: str, obs: str, hazard_radius: float) -> SafeDreamerConfig:
    """The authors' settings: vision sizes, or the vector preset for any flat observation."""
    if obs == "vision":
        config = SafeDreamerConfig(model=ModelConfig(cost_source=cost_source(method, "head")))
        return with_method(config, method)
    source = cost_source(method, "geometry" if hazard_radius and method == "osrp" else "head")
    config = SafeDreamerConfig(
        cost_limit=0.0,
        model=dataclasses.replace(_VECTOR_SIZES, cost_source=source, cost_weight=1.0),
        planner=PlannerConfig(actor_fraction=0.05),
    )
    return with_method(config, method)


def cpu(method: str, obs: str, hazard_radius: float) -> SafeDreamerConfig:
    """Sized for an hour on two cores.

    Reasons for these values: docs/concepts/safedreamer.md#what-the-preset-cpu-changes and
    results/log_of_trials.md; results: results/campaign/README.md.
    """
    plans = method in PLANNING
    model = ModelConfig(
        deter=128,
        stoch=16,
        classes=8,
        units=128,
        head_units=96,
        vector_units=128,
        vector_layers=2,
        conv_depth=16,
        bins=63,
        # Near hazards determine the costs; symlog weighs them more than far ones.
        vector_target="symlog",
        # Contact noise would dominate a plain sum and be explained by identifying the sequence.
        vector_loss="residual",
        vector_scale=1.0,
        motion_scale=20.0,
        # Costs are learned from the signal; --model.cost-source tracked gives the agent the
        # positions of hazards instead.
        cost_source=cost_source(method, "head"),
        cost_weight=3.0,
        hazard_radius=hazard_radius or 0.2,
        # Plans exploit the model's errors and need a margin; an actor penalised on a wide fringe
        # avoids narrow passages.
        hazard_softness=0.12 if plans else 0.09,
        optimizer=OptimizerConfig(1e-3, 1e-8, 1000.0),
    )
    learning = OptimizerConfig(3e-4, 1e-5, 100.0)
    # Not in the paper, where proposals come from an actor trained without costs: if costs are
    # learned from the signal, such an actor proposes, and such a planner collects, data where the
    # model is least accurate (results/log_of_trials.md).
    constrains_proposals = method == "osrp_lag"
    config = SafeDreamerConfig(
        cost_limit=2.0,
        model=model,
        actor=ActorConfig(optimizer=learning),
        critic=CriticConfig(optimizer=learning),
        # 192 starts more than double the time of an update; they end better where positions of
        # hazards are given (results/log_of_trials.md).
        imagination=ImaginationConfig(starts=64, discount_horizon=50.0, cost_discount_horizon=20.0),
        planner=PlannerConfig(
            horizon=8,
            candidates=24,
            elites=5,
            iterations=3,
            actor_fraction=1.0,
            actor_share=0.75 if constrains_proposals else 0.0,
            noise_exponent=2.0,
            kept_elites=3,
            cost_scale="exact",
        ),
        # As averse to costs as the actor in use with it. With the release's 0.1, a step's cost of 5
        # weighs as much as two or three steps of reward.
        pid=PIDConfig(max_multiplier=5.0),
        augmented=AugmentedConfig(penalty_init=1e-7, penalty_growth=3e-4, penalty_max=4e-7),
    )
    constraint = "augmented" if constrains_proposals else "method"
    return dataclasses.replace(with_method(config, method), actor_constraint=constraint)


def debug(method: str, obs: str, hazard_radius: float) -> SafeDreamerConfig:
    """Every size shrunk until a run takes seconds; learns nothing."""
    config = SafeDreamerConfig(
        model=ModelConfig(
            deter=16,
            stoch=4,
            classes=4,
            units=16,
            head_units=16,
            head_layers=1,
            vector_units=16,
            vector_layers=1,
            conv_depth=2,
        ),
        imagination=ImaginationConfig(horizon=5),
        planner=PlannerConfig(horizon=4, candidates=16, elites=4, iterations=2),
    )
    return with_method(config, method)


PRESETS = {"release": release, "cpu": cpu, "debug": debug}


def agent_config(
    method: str, obs: str, preset: str, hazard_radius: float = 0.2
) -> SafeDreamerConfig:
    """Configuration of `method` (one of METHODS) for an observation kind under a preset (one of
    PRESETS); KeyError otherwise.

    `hazard_radius` in metres defaults to that of the published coordinates tasks; it is 0 where
    costs do not follow from hazards (see geometry.hazard_radius).
    """
    return PRESETS[preset](method, obs, hazard_radius if obs == "coordinates" else 0.0)
