"""Which settings of a run decide its result, of a spec given as plain values.

What is left out changes nothing, or was done before it existed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# A longer run begins like a shorter one; a preset is the name of values that are here; where files
# lie or how often they are written changes nothing.
_NOT_IDENTITY = frozenset(
    [
        "steps",
        "max_minutes",
        "preset",
        "init_from",
        "replay.directory",
        "loop.log_every",
        "loop.checkpoint_every",
        "loop.env_workers",
    ]
)

# Where one of these is on, a longer run does not begin like a shorter one: it follows its budget
# (or its memory has its size).
_SCHEDULED = (
    "agent.model_cfgs.linear_lr_decay",
    "agent.model_cfgs.exploration_noise_anneal",
    "agent.planner_cfgs.plan_horizon",
)

# Settings that specs of before lack -> the value that says what was done before they existed. A
# spec without one is read as having that value, and at that value a setting is no part of the
# identity: runs from before keep their id, load and continue.
BEFORE: Mapping[str, Any] = {
    "max_minutes": None,
    "loop.resize": 0,
    "agent.augmented.driven_by": "imagined",
    "agent.planner.cost_critic": True,
    "agent.actor_constraint": "method",
    "agent.actor.gradient": "dynamics",
    "agent.actor.reinforce_share": 0.9,
    "agent.planner.feasible_cost": "sum",
    "agent.planner.pessimism": 1,
    "agent.planner.cost_margin": 0.0,
    "agent.planner.actor_share": 0.0,
    "agent.planner.noise_exponent": 0.0,
    "agent.planner.kept_elites": 0,
    "agent.planner.candidate_decay": 1.0,
    "agent.model.motion_scale": -1.0,
    "agent.model.conv_chunk": 64,  # whatever it is, results agree to rounding
    "agent.model.vector_loss": "sum",
    "agent.model.residual_floor": 0.05,
    "agent.model.residual_decay": 0.99,
    "agent.model.beta": 0.0,
    "agent.model.cost_share": 0.0,
    "agent.model.within_range": False,
    "agent.sac.cost_critics": 1,
    "agent.multiplier.max_excess": 0.0,
    "agent.model.sampled": True,
}


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def identity_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Flat settings that decide the result, of a spec given as `to_dict` writes it."""
    flat = flatten(data)
    outside = _NOT_IDENTITY - ({"steps"} if any(flat.get(name) for name in _SCHEDULED) else set())
    return {
        k: v for k, v in flat.items() if k not in outside and not (k in BEFORE and v == BEFORE[k])
    }


def diff(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that decide the result and differ: name -> (value in a, value in b).

    "absent" where one has no such setting, as a spec of another version may not.
    """
    left, right = identity_of(a), identity_of(b)
    names = sorted(left.keys() | right.keys())
    pairs = {
        name: tuple(side.get(name, BEFORE.get(name, "absent")) for side in (left, right))
        for name in names
    }
    return {name: (x, y) for name, (x, y) in pairs.items() if x != y}
