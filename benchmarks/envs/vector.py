"""Several environments stepped together, in processes or inline.

Episodes depend only on the run seed, the split and their index.

A worker that crashes, hangs or raises is replaced. Its episode is restarted and its actions are
replayed, so that nothing is lost if the cause was external; if it fails again, the episode is
abandoned and the next row is the first of the next episode. An environment that breaks its contract
(contract.py) is not replaced: EnvContractError names environment, episode and step.

Rows follow Dreamer: the last row of an episode has `is_last` set, and the next row is the first of
the next episode, with reward and cost 0; the action sent for it is ignored. Environment i of E runs
episodes i, i + E, i + 2E, ...

Shapes: E environments; A action dimensions.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeAlias

import numpy as np

from benchmarks.envs.contract import check_batch, stack
from benchmarks.envs.errors import EnvContractError, WorkerError
from benchmarks.envs.seeding import Split, episode_seed
from benchmarks.envs.wire import spec_from_plain
from benchmarks.envs.worker import (
    MAKE_SECONDS,
    InlineWorker,
    ProcessWorker,
    make_request,
)
from benchmarks.runs.errors import RunFailed
from benchmarks.runs.spec import ENV_TIMEOUT_SECONDS

if TYPE_CHECKING:
    import gymnasium

    from agents.api import EnvSpec

Mode: TypeAlias = Literal["process", "inline"]
ATTEMPTS = 3  # consecutive episodes that one environment may fail to start


class Fault(NamedTuple):
    """A worker that was replaced."""

    env: int
    episode: int
    agent_steps: int  # of the episode so far
    lost: bool  # whether the episode was abandoned
    reason: str


class Step(NamedTuple):
    """One row per environment; reward and cost are those received on arriving at `obs`."""

    obs: dict[str, np.ndarray]  # each [E, ...]
    reward: np.ndarray  # float32 [E]
    cost: np.ndarray  # float32 [E]
    is_first: np.ndarray  # bool [E]
    is_last: np.ndarray  # bool [E], terminated or truncated
    is_terminal: np.ndarray  # bool [E], terminated only
    env_steps: np.ndarray  # int64 [E], simulator steps that led here, 0 on first rows
    episode: np.ndarray  # int64 [E], index of the row's episode
    lost: np.ndarray  # bool [E], the episode before this first row was abandoned


class VectorEnv:
    """E environments from one factory.

    Args:
        make: makes one environment (with `make_env`); called in the environment's process.
        num_envs: E.
        run_seed, split: determine the layout of an episode together with its index.
        mode: "process" for one process per environment, "inline" for none (ignored if `make` is an
            EnvFactory with another interpreter, which always uses processes).
        first_episode: index of the first episode of environment 0; the others follow.
        timeout_seconds: time limit for one answer of a process.
    Raises:
        WorkerError: an environment could not be made, or its episodes fail repeatedly; the message
            holds index and traceback.
        EnvContractError: an environment breaks its contract (here and in every method).
    """

    def __init__(
        self,
        make: Callable[[], gymnasium.Env],
        num_envs: int,
        run_seed: int,
        split: Split,
        mode: Mode = "process",
        first_episode: int = 0,
        timeout_seconds: float = ENV_TIMEOUT_SECONDS,
    ) -> None:
        if num_envs < 1:
            raise ValueError(f"num_envs={num_envs} must be at least 1")
        if mode not in ("process", "inline"):
            raise ValueError(f"unknown mode {mode!r}; valid: process, inline")
        # raises for a bad seed or split before any process starts
        episode_seed(run_seed, split, first_episode)
        self.num_envs = num_envs
        self._run_seed = run_seed
        self._split: Split = split
        self._next = np.arange(first_episode, first_episode + num_envs, dtype=np.int64)
        self._episode = np.full(num_envs, -1, dtype=np.int64)
        self._ended: np.ndarray | None = None
        # taken so far in each running episode
        self._actions: list[list[np.ndarray]] = [[] for _ in range(num_envs)]
        self._python = getattr(make, "python", "")
        self._mode: Mode = "process" if self._python else mode
        self._timeout_seconds, self._factory = timeout_seconds, make_request(make)
        self._faults: list[Fault] = []
        self._workers: list[ProcessWorker | InlineWorker] = []
        try:
            for index in range(num_envs):
                self._workers.append(self._new_worker(index))
            for worker in self._workers:
                worker.send(self._factory)
            specs = [worker.receive(MAKE_SECONDS) for worker in self._workers]
            self.spec: EnvSpec = spec_from_plain(specs[0])  # which they share
            self._declared = {
                key: (array.shape, np.dtype(array.dtype)) for key, array in self.spec.obs.items()
            }
        except BaseException:
            self.close()
            raise

    def reset(self) -> Step:
        """Start a new episode in every environment; all rows are first rows."""
        self._ended = np.ones(self.num_envs, dtype=bool)
        return self._advance(np.zeros((self.num_envs, self.spec.action_dim), np.float32))

    def step(self, actions: np.ndarray) -> Step:
        """Take actions [E, A]; environments whose episode has ended start the next one instead."""
        if self._ended is None:
            raise RuntimeError("call reset() before step()")
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs, self.spec.action_dim):
            raise ValueError(
                f"actions have shape {actions.shape}, expected "
                f"{(self.num_envs, self.spec.action_dim)}"
            )
        # checked here, because environments would raise errors of their own
        if not np.isfinite(actions[~self._ended]).all():
            raise RunFailed(
                "the policy chose an action that is not finite, from observations that are: it "
                "diverged"
            )
        return self._advance(actions)

    def begin(self, which: np.ndarray) -> dict[str, np.ndarray]:
        """Start the next episode in the environments marked in `which` [E], even if their current
        one is unfinished; the others wait.

        Returns the first observations [E, ...], zeros for the others.
        """
        which = np.asarray(which, dtype=bool)
        if self._ended is None:
            self._ended = np.zeros(self.num_envs, dtype=bool)
        requests: list[tuple[Any, ...] | None] = [None] * self.num_envs
        for i in np.flatnonzero(which):
            self._start(i)
            requests[i] = ("reset", self._seed(i))
        answers, _ = self._ask(requests)
        self._ended = self._ended & ~which
        blank = {key: np.zeros(array.shape, array.dtype) for key, array in self.spec.obs.items()}
        rows = [blank if answer is None else answer for answer in answers]
        obs, nothing = self._stacked(rows), np.zeros(self.num_envs, np.float32)
        self._check(obs, nothing, nothing, np.zeros(self.num_envs, np.int64))
        return obs

    def take_faults(self) -> list[Fault]:
        """Workers that were replaced since the last call."""
        faults, self._faults = self._faults, []
        return faults

    def snapshot(self) -> dict[str, np.ndarray]:
        """The running episodes and the actions taken in them, from which `restore` continues."""
        lengths = np.array([len(actions) for actions in self._actions])
        taken = np.zeros((self.num_envs, lengths.max(initial=0), self.spec.action_dim), np.float32)
        for row, actions in zip(taken, self._actions, strict=True):
            row[: len(actions)] = np.array(actions, np.float32).reshape(-1, row.shape[-1])
        return {
            "episode": self._episode.copy(),
            "next": self._next.copy(),
            "lengths": lengths,
            "actions": taken,
        }

    def restore(self, snapshot: Mapping[str, np.ndarray]) -> Step:
        """Start the episodes of a snapshot from their seeds and replay their actions.

        Returns the last row before the snapshot.

        That row and all later ones are reproduced if the environment is deterministic given its
        seed, as Safety-Gymnasium's are.
        """
        self._episode, self._next = np.array(snapshot["episode"]), np.array(snapshot["next"])
        self._actions = [
            list(row[:n]) for row, n in zip(snapshot["actions"], snapshot["lengths"], strict=True)
        ]
        answers, lost = self._ask([self._replay(i) for i in range(self.num_envs)])
        return self._as_step(answers, np.array([not actions for actions in self._actions]), lost)

    def _advance(self, actions: np.ndarray) -> Step:
        assert self._ended is not None
        is_first = self._ended
        requests: list[tuple[Any, ...] | None] = []
        for i in range(self.num_envs):
            if is_first[i]:
                self._start(i)
                requests.append(("reset", self._seed(i)))
            else:
                self._actions[i].append(np.array(actions[i], np.float32))  # the caller may reuse it
                requests.append(("step", self._actions[i][-1]))
        answers, lost = self._ask(requests)
        return self._as_step(answers, is_first | lost, lost)

    def _start(self, index: int) -> None:
        """Advance the bookkeeping of an environment to the start of its next episode."""
        self._episode[index], self._actions[index] = self._next[index], []
        self._next[index] += self.num_envs

    def _replay(self, index: int) -> tuple[Any, ...]:
        """The request that brings a fresh environment to the current step of its episode."""
        actions = np.array(self._actions[index], np.float32).reshape(-1, self.spec.action_dim)
        return "replay", self._seed(index), actions

    def _seed(self, index: int) -> int:
        return episode_seed(self._run_seed, self._split, int(self._episode[index]))

    def _as_step(self, answers: Sequence[Any], is_first: np.ndarray, lost: np.ndarray) -> Step:
        rows = [
            (answer, 0.0, False, False, {"cost": 0.0, "env_steps": 0}) if first else answer
            for first, answer in zip(is_first, answers, strict=True)
        ]
        rows_obs, reward, terminated, truncated, info = zip(*rows, strict=True)
        is_terminal = np.array(terminated, dtype=bool)
        self._ended = is_terminal | np.array(truncated, dtype=bool)
        obs = self._stacked(rows_obs)
        env_steps = np.array([row["env_steps"] for row in info], dtype=np.int64)
        with np.errstate(over="ignore"):  # overflow gives infinity, which the check reports
            rewards = np.array(reward, dtype=np.float32)
            costs = np.array([row["cost"] for row in info], dtype=np.float32)
        self._check(obs, rewards, costs, env_steps)
        return Step(
            obs=obs,
            reward=rewards,
            cost=costs,
            is_first=is_first.copy(),
            is_last=self._ended.copy(),
            is_terminal=is_terminal,
            env_steps=env_steps,
            episode=self._episode.copy(),
            lost=lost,
        )

    def _stacked(self, rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return {key: stack(key, [row[key] for row in rows]) for key in self.spec.obs}

    def _check(
        self,
        obs: Mapping[str, np.ndarray],
        reward: np.ndarray,
        cost: np.ndarray,
        env_steps: np.ndarray,
    ) -> None:
        """Raise EnvContractError unless these rows match the declaration and are finite."""
        violation = check_batch(self._declared, obs, reward, cost)
        if violation is not None:
            index, message = violation
            before = max(0, len(self._actions[index]) - 1) * self.spec.action_repeat
            raise EnvContractError(
                f"{self._where(index)}, step {before + int(env_steps[index])}: {message}"
            )

    def _where(self, index: int) -> str:
        return f"environment {index}, episode {int(self._episode[index])}"

    @contextlib.contextmanager
    def _located(self, index: int) -> Iterator[None]:
        """Add environment and episode to the message of an EnvContractError."""
        try:
            yield
        except EnvContractError as error:
            raise EnvContractError(f"{self._where(index)}, {error}") from error

    def _ask(self, requests: Sequence[tuple[Any, ...] | None]) -> tuple[list[Any], np.ndarray]:
        """Send one request per environment and collect the answers.

        Returns the answers, None where there is no request, and whether each comes from a new
        episode because the old one was lost [E]. All requests are sent before answers are
        collected, so that the environments work in parallel.
        """
        answers: list[Any] = [None] * self.num_envs
        failed: dict[int, WorkerError] = {}
        for i, request in enumerate(requests):
            if request is None:
                continue
            try:
                with self._located(i):
                    self._workers[i].send(request)
            except WorkerError as error:
                failed[i] = error
        for i in range(self.num_envs):
            try:
                if requests[i] is not None and i not in failed:
                    with self._located(i):
                        answers[i] = self._workers[i].receive(self._timeout_seconds)
            except WorkerError as error:
                failed[i] = error
        lost = np.zeros(self.num_envs, bool)
        for i, error in failed.items():
            answers[i], lost[i] = self._recover(i, error)
        return answers, lost

    def _recover(self, index: int, error: WorkerError) -> tuple[Any, bool]:
        """Replace a worker and replay its episode, or start the next one if that fails.

        Returns the answer and whether an episode was lost. Raises WorkerError if several
        consecutive episodes fail.
        """
        for attempt in range(1 + ATTEMPTS):
            episode, taken = int(self._episode[index]), len(self._actions[index])
            try:
                self._workers[index].kill()
                worker = self._workers[index] = self._new_worker(index)
                with self._located(index):
                    worker.send(self._factory)
                    worker.receive(MAKE_SECONDS)
                    worker.send(self._replay(index))
                    answer = worker.receive(self._timeout_seconds)
            except WorkerError as again:
                self._faults.append(Fault(index, episode, taken, True, str(error)))
                error = again
                self._start(index)
            else:
                if not attempt:
                    self._faults.append(Fault(index, episode, taken, False, str(error)))
                return answer, attempt > 0
        raise WorkerError(
            f"environment {index} failed in {1 + ATTEMPTS} episodes one after the other; the "
            f"last time: {error}"
        )

    def _new_worker(self, index: int) -> ProcessWorker | InlineWorker:
        return (
            ProcessWorker(index, self._python) if self._mode == "process" else InlineWorker(index)
        )

    def close(self) -> None:
        """Close all environments and end their processes; may be called repeatedly."""
        for worker in self._workers:
            worker.ask_to_close()
        while self._workers:
            self._workers.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
