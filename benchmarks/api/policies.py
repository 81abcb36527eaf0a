"""Agents that act and are evaluated: untrained, from a run folder, or from an authors' file."""

from __future__ import annotations

import dataclasses
import numbers
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from agents.api import Agent, EnvSpec, PyTree
from benchmarks.cli.defaults import official_spec, spec_of
from benchmarks.envs import EnvFactory
from benchmarks.methods import method
from benchmarks.runs.errors import BadInput
from benchmarks.runs.spec import RunSpec
from benchmarks.suites.acting import acting
from benchmarks.training.env_faults import describe
from benchmarks.training.episodes import UNSEEN_EPISODE
from benchmarks.training.evaluation import run_episodes
from benchmarks.training.keys import evaluation_key, fold_in
from benchmarks.training.launch import agent_for, environment, official_agent
from benchmarks.zoo.trained import trained

if TYPE_CHECKING:
    import gymnasium


class Policy:
    """An agent with its parameters, acting in one environment at a time.

    Attributes: `spec`, the full configuration; `env_spec`, what the agent was built from; `agent`
    and `state`, its functions and parameters (agents.api); `env_steps` of its training.
    """

    def __init__(
        self, spec: RunSpec, env: tuple[EnvFactory, EnvSpec], agent: Agent, state: PyTree,
        env_steps: int = 0,
    ) -> None:  # fmt: skip
        self.spec, self.agent, self.state, self.env_steps = spec, agent, state, env_steps
        self._make_env, self.env_spec = env
        self.reset()

    def reset(self, seed: int = 0) -> None:
        """Start a new episode; call before its first `act`."""
        self._carry = self.agent.init_carry(1)
        self._first, self._count = True, 0
        self._key = evaluation_key(seed, self.env_steps)

    def act(self, obs: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the action [A] in [-1, 1] for one observation of `make_env`, as in evaluations."""
        batch = {name: np.asarray(value)[None] for name, value in obs.items()}
        key = fold_in(self._key, self._count)
        action, self._carry, _ = self.agent.act(
            self.state, self._carry, batch, np.array([self._first]), key, "eval"
        )
        self._first, self._count = False, self._count + 1
        return np.asarray(action)[0]

    def make_env(self, render_mode: str | None = None) -> gymnasium.Env:
        """Make an environment with the policy's task, observation and action repeat."""
        return dataclasses.replace(self._make_env, render_mode=render_mode)()

    def evaluate(self, episodes: int = 10, unseen: bool = False) -> pd.DataFrame:
        """Play episodes on fixed layouts, like `safedreamer evaluate`; with `unseen`, on layouts
        that training never used.

        Returns columns episode, return, cost, length (simulator steps). Episodes lost with their
        environments are missing, with a warning. Raises BadInput for less than one episode.
        """
        import warnings

        if not isinstance(episodes, numbers.Integral) or episodes < 1:
            raise BadInput(f"episodes={episodes!r} must be a whole number of at least 1")

        done = run_episodes(
            self.agent,
            self.state,
            self._make_env,
            run_seed=self.spec.seed,
            episodes=episodes,
            key=evaluation_key(self.spec.seed, self.env_steps),
            on_fault=lambda fault: warnings.warn(describe(fault, "eval"), stacklevel=2),
            workers="inline",
            first_episode=UNSEEN_EPISODE if unseen else 0,
        )
        return pd.DataFrame(done).rename(columns={"return_": "return"})


def make_agent(
    method_name: str,
    task: str,
    obs: str | None = None,
    preset: str = "release",
    seed: int = 0,
    **settings: Any,
) -> Policy:
    """Make an untrained agent. `settings` replace fields of the method's configuration.

    Raises BadInput for an unknown name, or settings that do not fit.
    """
    _check_engine(method_name)
    spec = spec_of(method_name, task, obs, preset, seed, settings)
    env = environment(spec)
    agent = agent_for(spec, env[1])
    return Policy(spec, env, agent, agent.init(seed))


def load_agent(folder: str | os.PathLike[str], **settings: Any) -> Policy:
    """Load the newest checkpoint of a run folder or of a shared run, `hub:TARGET`, or a policy of
    the zoo, `zoo:METHOD/TASK/SEED`. It acts with `settings` in place of those of its training, such
    as `act_with="planner"`, or `**{"planner.horizon": 5}`.

    Raises BadInput if there is none, or settings do not fit.
    """
    found = trained(folder)
    _check_engine(found.spec.method)
    found = found._replace(spec=acting(found.spec, settings)[0])
    env = environment(found.spec)
    return Policy(found.spec, env, *found.load(env[1]), found.env_steps)


def load_official(
    file: str | os.PathLike[str],
    task: str,
    obs: str | None = None,
    method_name: str = "bsrp_lag",
    stoch: int | None = None,
) -> Policy:
    """Load a checkpoint published by SafeDreamer's authors.

    `stoch` is only needed if it differs from the classes per variable. Raises BadInput if the file
    is not a checkpoint or does not fit the task.
    """
    spec = official_spec(method_name, task, obs, file)
    env = environment(spec)
    return Policy(spec, env, *official_agent(file, env[1], spec.agent, stoch))


def _check_engine(name: str) -> None:
    if method(name).engine == "torch":
        raise BadInput(
            f"{name} is OmniSafe's and runs in a separate process: use `safedreamer train` and "
            "`evaluate`"
        )
