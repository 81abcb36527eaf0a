"""Identity of a run: the settings that affect its result, from a spec in plain values.

Left out are settings without effect, and newer settings at the value of the earlier behaviour.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# A longer run begins like a shorter one; a preset only names values that are included; paths and
# how often files are written have no effect on the result.
_NOT_IDENTITY = frozenset(
    [
        *("steps", "max_minutes", "preset", "init_from", "replay.directory"),
        *("loop.log_every", "loop.checkpoint_every", "loop.env_workers"),
    ]
)

# With one of these on, a longer run does not begin like a shorter one: a schedule follows the step
# budget (or the replay buffer has its size).
_SCHEDULED = (
    "agent.model_cfgs.linear_lr_decay",
    "agent.model_cfgs.exploration_noise_anneal",
    "agent.planner_cfgs.plan_horizon",
)

# Settings that older specs lack -> the value that reproduces the behaviour before they existed. A
# spec without the setting is read with that value, and at that value the setting is not part of the
# identity: older runs keep their id, load and continue.
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
    "agent.model.conv_chunk": 64,  # results of all values agree up to rounding
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
    """Return the flat settings that affect the result, from a spec as written by `to_dict`."""
    flat = flatten(data)
    outside = _NOT_IDENTITY - ({"steps"} if any(flat.get(name) for name in _SCHEDULED) else set())
    return {
        k: v for k, v in flat.items() if k not in outside and not (k in BEFORE and v == BEFORE[k])
    }


def digest(data: Mapping[str, Any]) -> str:
    """Ten hex digits: a hash of plain values."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:10]


def settings_id(data: Mapping[str, Any]) -> str:
    """A hash of all settings that affect the result but the seed.

    Seeds may start from parameters of their own (`init_sha256`).
    """
    flat = identity_of(data)
    return digest({name: flat[name] for name in flat if name not in ("seed", "init_sha256")})


def diff(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return settings that affect the result and differ: name -> (value in a, value in b).

    The value is "absent" if a spec, of another version, has no such setting.
    """
    left, right = identity_of(a), identity_of(b)
    found = {}
    for name in sorted(left.keys() | right.keys()):
        x, y = (side.get(name, BEFORE.get(name, "absent")) for side in (left, right))
        if x != y:
            found[name] = (x, y)
    return found
