"""The functions that the agents of the suite share, see `agents.api.Agent`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from agents.api import EnvSpec, Mode, PyTree


class JittedAgent:
    """An agent of jitted functions for one kind of environment.

    `init` maps a key to a learner's state, `update` a state, a batch and a key to the next state
    and metrics. Subclasses define `init_carry`, `_acting_state` and `_act_impl`; `end_episode` if
    the costs of episodes drive a multiplier, and `pretrain_updates` if there is pre-training.
    """

    pretrain_updates: int = 0  # see `agents.api.Agent`

    def __init__(
        self,
        env: EnvSpec,
        init: Callable[[jax.Array], Any],
        update: Callable[..., tuple[Any, dict[str, jax.Array]]],
        obs_names: tuple[str, ...] | None = None,
    ):
        self.env = env
        self.obs_names = tuple(env.obs) if obs_names is None else obs_names
        self._init = jax.jit(init)
        self._update = jax.jit(update, donate_argnums=0)
        self._act = jax.jit(self._act_impl, static_argnames="mode")

    def init(self, seed: int) -> Any:
        """The learner's initial state."""
        return self._init(jax.random.key(seed))

    def act(
        self,
        state: Any,
        carry: Any,
        obs: Mapping[str, np.ndarray],
        is_first: np.ndarray,
        key: jax.Array,
        mode: Mode,
    ) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
        """Actions [E, A] for observations [E, ...]; see `agents.api.Agent.act`."""
        obs = {name: obs[name] for name in self.obs_names}
        return self._act(*self._acting_state(state), carry, obs, is_first, key, mode=mode)

    def _acting_state(self, state: Any) -> tuple[PyTree, ...]:
        """The parts of the learner's state that `_act_impl` receives first."""
        raise NotImplementedError

    def _act_impl(self, *args: Any, **kwargs: Any) -> tuple[jax.Array, Any, dict[str, jax.Array]]:
        """`act`, to be traced: (*_acting_state, carry, obs, is_first, key, mode)."""
        raise NotImplementedError

    def update(
        self, state: Any, batch: Mapping[str, np.ndarray], key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """One learner update on a replay batch [B, T, ...]; donates `state`."""
        return self._update(state, dict(batch), key)

    def end_episode(self, state: Any, cost: float, agent_steps: int) -> Any:
        """Does nothing: no multiplier is driven by the costs of episodes."""
        del cost, agent_steps
        return state
