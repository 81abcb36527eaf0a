"""The policy of a learner in evaluation.

Reads networks, statistics and planners without changing them.

On images it keeps the last frames of each episode itself, [E, K, D]; a stack is initially filled
with its first frame.

Shapes: E environments; D observation, A action dimensions; K frames in a stack.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from omnisafe.adapter import SauteAdapter, SimmerAdapter
from omnisafe.common.normalizer import Normalizer

from baselines.omnisafe.learner import Learner


class Policy:
    """Acts in E episodes in parallel.

    Call `begin` once for all, then for each step `act`, and `paid` with its costs.
    """

    samples = True  # whether stochastic actions differ from deterministic ones

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self._algo = learner.algo
        self._device = learner.algo._device
        self._normalizer: Normalizer | None = None
        if learner.cfgs.algo_cfgs.obs_normalize:
            self._normalizer = learner.algo._env.save()["obs_normalizer"]
        self._stacks: np.ndarray | None = None

    def begin(self, num_envs: int) -> None:
        """Start new episodes in all of `num_envs` environments."""
        self._stacks = None

    def act(self, obs: np.ndarray, deterministic: bool) -> np.ndarray:
        """Actions [E, A] for observations [E, D]."""
        frames = self.learner.frames
        if frames is None:
            return self._act(obs, deterministic)
        newest = obs[:, None]
        if self._stacks is None:
            self._stacks = np.repeat(newest, frames.stack, axis=1)
        else:
            self._stacks = np.concatenate([self._stacks[:, 1:], newest], axis=1)
        with frames.showing(self._stacks) as tickets:
            return self._act(tickets, deterministic)

    def _act(self, obs: np.ndarray, deterministic: bool) -> np.ndarray:
        with torch.no_grad():
            seen = self._seen(torch.as_tensor(obs, dtype=torch.float32, device=self._device))
            return self._actions(seen, deterministic).cpu().numpy().astype(np.float32)

    def paid(self, cost: np.ndarray) -> None:
        """Record the costs [E] of the last actions."""

    def _actions(self, seen: torch.Tensor, deterministic: bool) -> torch.Tensor:
        return self._algo._actor_critic.actor.predict(seen, deterministic=deterministic)

    def _seen(self, obs: torch.Tensor) -> torch.Tensor:
        """Normalise as in training, without updating the statistics."""
        norm = self._normalizer
        if norm is None or norm._count <= 1:
            return obs
        return torch.clamp((obs - norm._mean) / norm._std, -norm._clip, norm._clip)


class BudgetPolicy(Policy):
    """Appends the rest of the episode's safety budget to observations (Saute, Simmer)."""

    def begin(self, num_envs: int) -> None:
        super().begin(num_envs)
        adapter = self._algo._env
        self._budget, self._gamma = adapter._safety_budget[:1], adapter._cfgs.algo_cfgs.saute_gamma
        start = (
            adapter._rel_safety_budget[:1]
            if isinstance(adapter, SimmerAdapter)
            else torch.ones_like(self._budget)
        )
        self._left = start.repeat(num_envs, 1)

    def paid(self, cost: np.ndarray) -> None:
        spent = (
            torch.as_tensor(cost, dtype=torch.float32, device=self._device).unsqueeze(-1)
            / self._budget
        )
        self._left = (self._left - spent) / self._gamma

    def _seen(self, obs: torch.Tensor) -> torch.Tensor:
        return torch.cat([super()._seen(obs), self._left], dim=-1)


class PlannerPolicy(Policy):
    """Plans for the episodes one by one; each is warm-started from its own last plan."""

    samples = False

    def begin(self, num_envs: int) -> None:
        mean = self._algo._planner._action_sequence_mean
        self._plans = [torch.zeros_like(mean) for _ in range(num_envs)]

    def _actions(self, seen: torch.Tensor, deterministic: bool) -> torch.Tensor:
        planner: Any = self._algo._planner
        before, actions = planner._action_sequence_mean, []
        for i, obs in enumerate(seen):
            planner._action_sequence_mean = self._plans[i]
            actions.append(planner.output_action(obs.unsqueeze(0))[0])
            self._plans[i] = planner._action_sequence_mean
        planner._action_sequence_mean = before
        return torch.cat(actions)


def make_policy(learner: Learner) -> Policy:
    """The evaluation policy of a learner; it follows further training of the learner."""
    if learner.row.family == "model-based":
        return PlannerPolicy(learner)
    return BudgetPolicy(learner) if isinstance(learner.algo._env, SauteAdapter) else Policy(learner)
