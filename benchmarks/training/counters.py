"""Counters and options common to all training loops. Imports neither JAX nor torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.process.signals import Stop
from benchmarks.runs.spec import ENV_TIMEOUT_SECONDS, MAX_ENV_FAULTS
from benchmarks.training.progress import Reporter

if TYPE_CHECKING:
    from agents.api import EnvSpec, PyTree


class Options(NamedTuple):
    """Options of one attempt of a run that do not change its result."""

    # wall-clock limit of the whole run, resumes included; leaves time for the last evaluation
    max_minutes: float | None = None
    tensorboard: bool = False
    wandb: str | None = None  # project of Weights & Biases
    mlflow: str | None = None  # experiment of MLflow
    reporter: Reporter = Reporter()
    env_timeout_seconds: float = ENV_TIMEOUT_SECONDS  # after which an environment counts as hung
    max_env_faults: int = MAX_ENV_FAULTS  # environments replaced before the run fails
    stop: Stop = Stop()  # checked after every iteration and inside evaluations
    # replaces agent.init(seed), for a run with `init_from`
    init_state: Callable[[EnvSpec], PyTree] | None = None


@dataclasses.dataclass
class Progress:
    """Progress of a run; stored in full in every checkpoint."""

    agent_steps: int = 0
    env_steps: int = 0
    previous_agent_steps: int = -1  # at the previous consistent point; -1: nothing can be due
    evaluated_at: int = -1  # env_steps of the last evaluation
    wall_seconds: float = 0.0  # as of the checkpoint it was read from

    def due(self, every: int) -> bool:
        """Whether a multiple of `every` agent steps was passed since the previous point."""
        before = self.previous_agent_steps
        return before >= 0 and self.agent_steps // every > before // every
