"""Facts about an environment that the learner needs, in plain types.

Imports neither a simulator nor JAX.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self

if TYPE_CHECKING:
    from agents.api import EnvSpec


# a render camera that shows the whole arena from above; not part of the model
OVERVIEW = "overview"


class EnvFacts(NamedTuple):
    """The fields of `EnvSpec` in plain types, which need no import of JAX."""

    obs: dict[str, tuple[tuple[int, ...], str]]  # key -> shape, dtype name
    action_dim: int
    action_repeat: int
    episode_env_steps: int
    layout: dict[str, slice]
    costly: tuple[str, ...]
    hazard_size: float

    def spec(self) -> EnvSpec:
        """The facts as an `EnvSpec`."""
        from agents.api import ArraySpec, EnvSpec  # lazy: it imports JAX

        obs = {key: ArraySpec(shape, dtype) for key, (shape, dtype) in self.obs.items()}
        return EnvSpec(
            obs,
            self.action_dim,
            self.action_repeat,
            self.episode_env_steps,
            self.layout,
            self.costly,
            self.hazard_size,
        )

    def to_plain(self) -> dict[str, Any]:
        """The facts as numbers, strings, lists and dicts; `from_plain` is the inverse."""
        layout = {name: [part.start, part.stop] for name, part in self.layout.items()}
        return self._asdict() | {"layout": layout}

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild the facts from the output of `to_plain`."""
        obs = {key: (tuple(shape), dtype) for key, (shape, dtype) in data["obs"].items()}
        layout = {name: slice(start, stop) for name, (start, stop) in data["layout"].items()}
        return cls(**{**data, "obs": obs, "layout": layout, "costly": tuple(data["costly"])})
