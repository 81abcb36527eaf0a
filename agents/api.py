"""The interface between the training loop and an agent.

An agent is a bundle of jitted functions with fixed configuration. All that changes lives in two
pytrees that the loop passes around: the learner's `state` (parameters, optimisers, multipliers,
normalisers, counters) and the policy's `carry` (latent, previous action, warm start of the planner;
one row per environment). Agents have no access to environments, clocks or files.

Shapes: E environments; A action dimensions; B, T replay batch and sequence length.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:  # also imported by processes without JAX
    import jax

PyTree: TypeAlias = Any
COST_NOW = (
    # key in the info of `Agent.act` in training: cost [E] that a learned model predicts for the
    # row just observed
    "cost_now"
)
Mode: TypeAlias = Literal["train", "eval"]


@dataclasses.dataclass(frozen=True)
class ArraySpec:
    """Shape (without leading batch axes) and dtype name of one array of an observation or of a
    replay row.
    """

    shape: tuple[int, ...]
    dtype: str


ObsSpec: TypeAlias = Mapping[str, ArraySpec]


@dataclasses.dataclass(frozen=True)
class EnvSpec:
    """Environment spec that an agent is built from.

    `layout` names slices of the flat observation (`"hazards" -> slice(9, 25)`); may be empty.
    `costly` names the sources of cost (`("hazards", "vases")`), empty if there are none or they are
    unknown. `hazard_size` is the distance in metres within which a hazard costs, 0 without hazards.
    `episode_env_steps` is the length of a full episode in simulator steps, `action_repeat`
    simulator steps per agent step.
    """

    obs: ObsSpec
    action_dim: int
    action_repeat: int
    episode_env_steps: int
    layout: Mapping[str, slice] = dataclasses.field(default_factory=dict)
    costly: tuple[str, ...] = ()
    hazard_size: float = 0.0

    @property
    def episode_agent_steps(self) -> int:
        return -(-self.episode_env_steps // self.action_repeat)


class Agent(Protocol):
    """The interface of every agent of the suite.

    A replay row holds an observation and the action that follows it: observation arrays, `action`
    [A] taken *after* this observation (zeros at `is_last`), `reward` and `cost` received *on
    arriving* at it, `is_first`, `is_last`, `is_terminal` (bool).
    """

    @property
    def pretrain_updates(self) -> int:
        """Updates on the prefill alone, before the policy first acts.

        0 for agents without pre-training.
        """
        ...

    def init(self, seed: int) -> PyTree:
        """The learner's initial state."""
        ...

    def init_carry(self, num_envs: int) -> PyTree:
        """The policy's initial carry for `num_envs` environments.

        Rows are reset where `is_first`.
        """
        ...

    def act(
        self,
        state: PyTree,
        carry: PyTree,
        obs: Mapping[str, np.ndarray],
        is_first: np.ndarray,
        key: jax.Array,
        mode: Mode,
    ) -> tuple[jax.Array, PyTree, dict[str, jax.Array]]:
        """Actions [E, A] in [-1, 1] for observations [E, ...], the next carry, and per-environment
        info [E].

        In mode "train", agents that learn costs may add COST_NOW.
        """
        ...

    def update(
        self, state: PyTree, batch: Mapping[str, np.ndarray], key: jax.Array
    ) -> tuple[PyTree, dict[str, jax.Array]]:
        """One learner update on a replay batch [B, T, ...]; returns the next state and scalar
        metrics. Donates `state`.

        The metric `nonfinite` (int32) counts NaNs and infinities among losses and gradients, see
        agents.checks; it is not logged.
        """
        ...

    def end_episode(self, state: PyTree, cost: float, agent_steps: int) -> PyTree:
        """Update the state with the cost of a finished *training* episode, at `agent_steps` of
        training. Never called in evaluation.
        """
        ...
