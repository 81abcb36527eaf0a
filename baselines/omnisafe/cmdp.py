"""The environments of this suite as a CMDP of OmniSafe.

OmniSafe looks environments up by name, wraps them, and makes a second one for its own evaluation.
The second is inert here: the caller evaluates. `step` starts the next episode after an ended one,
as OmniSafe's adapters expect of several environments, except for the model-based family, which
resets by itself.

Images stay here, in `Frames`; OmniSafe receives tickets for them.

Shapes: E environments. OmniSafe drops E if it is 1, and so do the arrays returned here.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium.spaces import Box
from omnisafe.envs import core

from baselines.omnisafe.frames import Frames
from baselines.omnisafe.interface import Envs

ENV_ID = "suite"


class SuiteCMDP(core.CMDP):
    """The CMDP that OmniSafe's adapters wrap. `install` sets its environments."""

    _support_envs: ClassVar[list[str]] = [ENV_ID]
    # OmniSafe's would overwrite true ends, and its limit is 1000 steps for some algorithms
    need_time_limit_wrapper = False
    need_auto_reset_wrapper = False  # OmniSafe's supports one environment only
    _waiting: ClassVar[tuple[Envs, bool, Frames | None] | None] = None
    _sizes: ClassVar[tuple[int, int]] = (0, 0)  # entries of an observation and of an action

    def __init__(self, env_id: str, num_envs: int = 1, device: Any = "cpu", **kwargs: Any) -> None:
        del kwargs  # cameras and render modes of OmniSafe's evaluation
        super().__init__(env_id)
        self._envs, self._autoreset, self._frames = SuiteCMDP._waiting or (None, False, None)
        SuiteCMDP._waiting = None
        self._num_envs = num_envs
        self._device = torch.device(device)
        self._obs_dim, action_dim = self._sizes
        self._observation_space = Box(-np.inf, np.inf, (self._obs_dim,), np.float32)
        self._action_space = Box(-1.0, 1.0, (action_dim,), np.float32)
        self._metadata = {}
        # whether the next reset starts an epoch: it cuts running episodes, which do not count
        self.cutting = False

    @classmethod
    def install(cls, envs: Envs, autoreset: bool, frames: Frames | None = None) -> None:
        """Connect the next instance that OmniSafe makes to `envs`; later ones are inert.

        `frames` stores images.
        """
        cls._waiting = (envs, autoreset, frames)
        cls._sizes = (envs.obs_dim if frames is None else frames.stack, envs.action_dim)
        if ENV_ID not in core.support_envs():
            core.env_register(cls)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        """Start the next episodes; those without a step so far continue, so that consecutive resets
        skip no layout.
        """
        del seed, options  # episodes are seeded by their index
        if self._envs is None:
            return self._one(np.zeros((self._num_envs, self._obs_dim), np.float32)), {}
        stale = ~self._envs.fresh
        if stale.any():
            self._envs.begin(stale, ended=not self.cutting)
        obs = self._envs.observation()
        if self._frames is not None and self.cutting:
            self._frames.clear()
            stale = np.ones_like(stale)
        self.cutting = False
        return self._one(self._first(stale, obs)), {}

    def step(
        self, action: torch.Tensor
    ) -> tuple[
        torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, dict[str, Any]
    ]:
        """Take one action in every environment."""
        assert self._envs is not None, "the second environment is only looked at"
        rows = self._envs.step(action.detach().cpu().numpy().reshape(self._num_envs, -1))
        info: dict[str, Any] = {}
        obs, ended = rows.obs, rows.terminated | rows.truncated
        if self._frames is not None:
            self._frames.push(obs, ended)
            obs = self._frames.tickets()
        if self._autoreset and ended.any():
            info["final_observation"] = self._one(obs)
            if self._num_envs > 1:
                info["_final_observation"] = torch.as_tensor(ended, device=self._device)
            obs = self._first(ended, self._envs.begin(ended, ended=True))
        terminated, truncated = self._one(rows.terminated), self._one(rows.truncated)
        return (
            self._one(obs),
            self._one(rows.reward),
            self._one(rows.cost),
            terminated,
            truncated,
            info,
        )

    def _first(self, which: np.ndarray, obs: np.ndarray) -> np.ndarray:
        """Observations as OmniSafe receives them, from [E, D]; `which` marks first ones of
        episodes.
        """
        if self._frames is None:
            return obs
        self._frames.begin(which, obs)
        return self._frames.tickets()

    def _one(self, array: np.ndarray) -> torch.Tensor:
        """Tensor on the device, without the axis E if E is 1."""
        return torch.as_tensor(array[0] if self._num_envs == 1 else array, device=self._device)

    def set_seed(self, seed: int) -> None:
        """Does nothing: episodes are seeded by their index."""

    def render(self) -> Any:
        raise NotImplementedError("pictures are the suite's own")

    def close(self) -> None:
        """Does nothing: the owner of the environments closes them."""
