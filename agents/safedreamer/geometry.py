"""Costs computed from hazard positions.

Possible only where hazards are the only source of cost and the observation contains them.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from agents.api import EnvSpec

HAZARDS = "hazards"


def hazards_alone(costly: tuple[str, ...]) -> bool:
    """Whether hazards are the only source of cost (`EnvSpec.costly`), so that their positions
    determine it.
    """
    return set(costly) == {HAZARDS}


def hazard_radius(env: EnvSpec) -> float:
    """Metres within which a hazard costs, if hazards are the only source of cost; else 0."""
    return env.hazard_size if hazards_alone(env.costly) else 0.0


def check_geometry(env: EnvSpec, source: str) -> None:
    """Raise ValueError, naming the fix, if costs do not follow from observed hazards."""
    if HAZARDS in env.layout and hazards_alone(env.costly):
        return
    others = [name for name in env.costly if name != HAZARDS]
    if HAZARDS not in env.layout:
        lack = "the observation holds no hazard positions"
    elif others:
        lack = f"{' and '.join(others)} cost too"
    else:
        lack = "the environment does not say that hazards cost"
    raise ValueError(
        f"model.cost_source={source} counts hazards and nothing else, and here {lack}: use "
        "--model.cost-source head"
    )


def hazard_cost(positions: jax.Array, radius: float, softness: float = 0.0) -> jax.Array:
    """Cost of hazards around the robot: the (soft) number within `radius` metres of it.

    Flattened robot-frame positions in metres [..., 2 * hazards] -> [...]. With a positive
    `softness` in metres each hazard counts clip((radius + softness - distance) / softness, 0, 1): 1
    within the radius and exactly 0 beyond the fringe, so that a plan which keeps clear costs zero.
    """
    xy = positions.reshape(*positions.shape[:-1], -1, 2)
    if softness == 0.0:
        return (jnp.linalg.norm(xy, axis=-1) <= radius).sum(-1).astype(jnp.float32)
    distance = jnp.sqrt(jnp.square(xy).sum(-1) + 1e-8)  # the norm has no gradient at 0
    return jnp.clip((radius + softness - distance) / softness, 0.0, 1.0).sum(-1)
