"""Converts environment steps to replay rows: their arrays, their contents and their buffer.

A row holds an observation and the action taken after it, see agents.api.Agent. Shapes: E
environments; A action dimensions.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from agents.api import ArraySpec, EnvSpec
from agents.replay.buffer import Replay
from benchmarks.envs import Step
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import RunSpec


def row_specs(env_spec: EnvSpec) -> dict[str, ArraySpec]:
    """Arrays of one replay row."""
    rows = dict(env_spec.obs) | {"action": ArraySpec((env_spec.action_dim,), "float32")}
    rows |= dict.fromkeys(("reward", "cost"), ArraySpec((), "float32"))
    return rows | dict.fromkeys(("is_first", "is_last", "is_terminal"), ArraySpec((), "bool"))


def row(step: Step, actions: np.ndarray, truncation_is_terminal: bool) -> dict[str, np.ndarray]:
    """Replay rows [E, ...] of a step and the actions [E, A] taken after it.

    The action is zero where the episode has ended.
    """
    rows = dict(step.obs) | {"action": np.where(step.is_last[:, None], np.float32(0), actions)}
    rows |= {name: getattr(step, name) for name in ("reward", "cost", "is_first", "is_last")}
    return rows | {"is_terminal": step.is_last if truncation_is_terminal else step.is_terminal}


def rows_filled(spec: RunSpec) -> int:
    """Replay rows that the run fills at most: each transition may end an episode, and the next one
    begins with a row of its own.
    """
    return min(spec.replay.capacity, 2 * math.ceil(spec.steps / spec.loop.action_repeat))


def make_replay(spec: RunSpec, env_spec: EnvSpec) -> Replay:
    """The run's replay buffer. Raises BadInput if it does not fit into memory or on disk."""
    directory = Path(spec.replay.directory) if spec.replay.directory else None
    try:
        size = spec.replay.capacity, spec.loop.num_envs
        return Replay(row_specs(env_spec), *size, directory, rows_filled(spec))
    except ValueError as error:
        raise BadInput(str(error)) from error
