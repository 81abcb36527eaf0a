"""Memory and disk that a run needs, before it is started: exact for the replay buffer and the learner, measured for the rest.

The sizes of observations come from the simulator, through a function; the learner's are traced, not allocated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from typing import NamedTuple

import jax

from agents.api import EnvSpec
from agents.replay import memory_bytes
from agents.replay_storage import available_memory_bytes
from benchmarks.checkpoint import KEEP
from benchmarks.methods import method
from benchmarks.spec import RunSpec
from benchmarks.transitions import row_specs

__all__ = ["Estimate", "Needs", "available_memory_bytes"]

EnvSpecOf = Callable[[str, str, int], EnvSpec]  # of (task, obs, action repeat)

# Resident memory measured with the preset debug: interpreter, JAX, compiled functions, simulator; and of one environment process.
PROCESS_BYTES = 1_300_000_000
WORKER_BYTES = 200_000_000
LEARNER_COPIES = 3  # the state, its gradients, and what a checkpoint writes


class Needs(NamedTuple):
    """Bytes. `disk` is what the run folder grows to, a mapped replay elsewhere included."""

    memory: int
    disk: int


class Estimate:
    """`Needs` of runs; learners that are alike are traced once."""

    def __init__(self, env_spec_of: EnvSpecOf) -> None:
        self._env_spec_of = env_spec_of
        self._learners: dict[Hashable, int] = {}

    def __call__(self, spec: RunSpec) -> Needs:
        """What the run needs. Raises ValueError where method and task do not fit."""
        env_spec = self._env_spec_of(spec.task, spec.obs, spec.loop.action_repeat)
        rows = row_specs(env_spec)
        full = memory_bytes(rows, spec.replay.capacity)
        transitions = math.ceil(spec.steps / spec.loop.action_repeat)
        saved = min(full, memory_bytes(rows, transitions))
        learner = self._learner_bytes(spec, env_spec)
        evaluated = spec.loop.eval_episodes if spec.obs == "vision" else 0  # others are evaluated in the run's own process
        workers = (spec.loop.num_envs + evaluated) * WORKER_BYTES if spec.loop.env_workers == "process" else 0
        mapped = bool(spec.replay.directory)
        return Needs(
            memory=PROCESS_BYTES + workers + LEARNER_COPIES * learner + (0 if mapped else full),
            disk=saved + (KEEP + 1) * learner + (full if mapped else 0),  # a new checkpoint is whole before an old one goes
        )

    def _learner_bytes(self, spec: RunSpec, env_spec: EnvSpec) -> int:
        kind = (spec.method, spec.agent, repr(env_spec.obs), env_spec.action_dim)
        if kind not in self._learners:
            agent = method(spec.method).agent(spec.agent, env_spec)
            leaves = jax.tree.leaves(jax.eval_shape(lambda: agent.init(0)))
            self._learners[kind] = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
        return self._learners[kind]
