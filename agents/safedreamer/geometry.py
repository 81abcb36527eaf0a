"""Where costs follow from hazard positions: hazards are all that costs, and the observation holds their positions."""

from __future__ import annotations

from agents.api import EnvSpec

HAZARDS = "hazards"


def hazards_alone(costly: tuple[str, ...]) -> bool:
    """Whether hazards cost and nothing else does (`EnvSpec.costly`), so that their positions tell every cost."""
    return set(costly) == {HAZARDS}


def hazard_radius(env: EnvSpec) -> float:
    """Metres within which a hazard costs, where hazards are all that costs; 0 elsewhere."""
    return env.hazard_size if hazards_alone(env.costly) else 0.0


def check_geometry(env: EnvSpec, source: str) -> None:
    """Raise ValueError, which names the remedy, where costs do not follow from observed hazards."""
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
        f"model.cost_source={source} counts hazards and nothing else, and here {lack}: use --model.cost-source head"
    )
