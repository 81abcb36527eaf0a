"""Evaluation: episodes with fixed seeds, on separate environments and with a separate policy carry.

Nothing here returns a learner state, so evaluation cannot change training: `state` is only read,
and all randomness comes from the given key and episode seeds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple, TypeAlias

import jax
import numpy as np

from agents.api import Agent, PyTree
from benchmarks.envs import Fault, Step, VectorEnv
from benchmarks.envs.factory import MakeEnv
from benchmarks.runs.errors import RunFailed
from benchmarks.training.episodes import MAX_ENVS, UNSEEN_EPISODE, Episode, Stopped, Tally
from benchmarks.training.keys import fold_in
from benchmarks.training.transitions import row

OnStep: TypeAlias = Callable[[Step, np.ndarray, Mapping[str, np.ndarray]], None]


class Forecast:
    """Predicts the seconds of the next evaluation, so that a run with a time limit leaves time for
    it.

    The prediction is the duration of the last evaluation; before the first, an estimate from acting
    in training, compilation included.
    """

    def __init__(self, episode_agent_steps: int, num_envs: int, episodes: int) -> None:
        rounds = -(-episodes // MAX_ENVS)
        self._actions = (
            rounds * episode_agent_steps * max(1.0, min(episodes, MAX_ENVS) / num_envs)
            if episodes
            else 0.0
        )
        self._compiling = 0.0  # seconds of the first action, which compiles
        self._acting: deque[float] = deque(maxlen=20)
        self._last: float | None = None

    def acted(self, seconds: float) -> None:
        """Record the duration of choosing actions once for all training environments."""
        if self._compiling:
            self._acting.append(seconds)
        else:
            self._compiling = seconds

    def evaluated(self, seconds: float) -> None:
        """Record the duration of an evaluation."""
        self._last = seconds

    @property
    def first_compiling(self) -> float:
        """Expected compile time of the first evaluation, that of acting in training; 0 after it."""
        return self._compiling if self._last is None else 0.0

    def seconds(self) -> float:
        """The predicted seconds; 0 before the policy has acted, or without evaluations."""
        if self._last is not None or not self._actions:
            return self._last or 0.0
        return self._compiling + (
            self._actions * float(np.median(self._acting)) if self._acting else 0.0
        )


def run_episodes(
    agent: Agent,
    state: PyTree,
    make_env: MakeEnv,
    *,
    run_seed: int,
    episodes: int,
    key: jax.Array,
    on_fault: Callable[[Fault], None],
    workers: Literal["process", "inline"] = "process",
    on_episode: Callable[[Episode], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    on_step: OnStep | None = None,
    first_episode: int = 0,
) -> list[Episode]:
    """Run `episodes` episodes of the split "eval" of `run_seed`, starting at `first_episode`.

    Returns them in order; `on_episode` is called after each.

    Environment i of E runs episodes i, i + E, ... of these; those beyond the last are not counted.
    `on_fault` is called for each replaced worker; lost episodes are omitted, so fewer than
    `episodes` may be returned. `on_step` is called after every step, the last included, with the
    actions [E, A] that follow it and the policy's info [E] (zeros and an empty dict after the
    last). Raises Stopped if `should_stop`, and RunFailed if every episode was lost.
    """
    num_envs, end = min(episodes, MAX_ENVS), first_episode + episodes
    done: dict[int, Episode] = {}
    lost: set[int] = set()
    carry = agent.init_carry(num_envs)
    tally = Tally(num_envs)
    with VectorEnv(make_env, num_envs, run_seed, "eval", workers, first_episode) as envs:
        step = envs.reset()
        count = 0
        while len(done) + len(lost) < episodes:
            if should_stop():
                raise Stopped
            actions, carry, info = agent.act(
                state, carry, step.obs, step.is_first, fold_in(key, count), "eval"
            )
            if on_step is not None:
                shown = {name: np.asarray(value) for name, value in info.items()}
                on_step(step, np.asarray(actions), shown)
            try:
                step = envs.step(np.asarray(actions))
            finally:  # reported even if the environment could not be replaced
                faults = envs.take_faults()
                for fault in faults:
                    on_fault(fault)
            count += 1
            lost |= {fault.episode for fault in faults if fault.lost and fault.episode < end}
            for finished in tally.add(step):
                if finished.episode < end:
                    done[finished.episode] = finished
                    if on_episode is not None:
                        on_episode(finished)
        if on_step is not None:
            on_step(step, np.zeros((num_envs, envs.spec.action_dim), np.float32), {})
    if not done:
        raise RunFailed("every evaluation episode was lost: its environment failed")
    return [done[i] for i in sorted(done)]


class Traces(NamedTuple):
    """Replay rows [E, T+1, ...] of whole episodes and the policy's info [E, T], empty if it did not
    act.
    """

    rows: dict[str, np.ndarray]
    info: dict[str, np.ndarray]


def play(
    agent: Agent,
    state: PyTree,
    make_env: MakeEnv,
    run_seed: int,
    episodes: int,
    key: jax.Array,
    random: bool = False,
) -> Traces:
    """Play episodes of the evaluation policy on unseen layouts, at most MAX_ENVS in parallel.

    `random` plays uniform actions instead.

    All are cut to the length of the shortest; in tasks that only truncate, all are whole.
    """
    parts = []
    for begin in range(0, episodes, MAX_ENVS):
        part = range(begin, min(episodes, begin + MAX_ENVS))
        parts.append(
            _play_together(agent, state, make_env, run_seed, part, fold_in(key, begin), random)
        )
    return Traces(_join([part.rows for part in parts]), _join([part.info for part in parts]))


def _play_together(
    agent: Agent,
    state: PyTree,
    make_env: MakeEnv,
    run_seed: int,
    episodes: range,
    key: jax.Array,
    random: bool,
) -> Traces:
    """Play the given unseen episodes until the first of them ends."""
    rows, reports = [], []
    with VectorEnv(
        make_env, len(episodes), run_seed, "eval", "inline", UNSEEN_EPISODE + episodes.start
    ) as envs:
        step, carry = envs.reset(), agent.init_carry(len(episodes))
        while True:
            act_key = fold_in(key, len(rows))
            if random:
                shape = (len(episodes), envs.spec.action_dim)
                actions, info = jax.random.uniform(act_key, shape, minval=-1.0, maxval=1.0), {}
            else:
                actions, carry, info = agent.act(
                    state, carry, step.obs, step.is_first, act_key, "eval"
                )
            rows.append(row(step, np.asarray(actions), truncation_is_terminal=False))
            if step.is_last.any():
                break
            reports.append({name: np.asarray(value) for name, value in info.items()})
            step = envs.step(np.asarray(actions))
            for fault in envs.take_faults():
                if fault.lost:
                    raise RunFailed(f"episode {fault.episode} cannot be played: {fault.reason}")
    return Traces(_stack(rows), _stack(reports))


def _join(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Concatenate parts [E, T, ...] along E, each cut to the shortest T."""
    length = min((value.shape[1] for part in parts for value in part.values()), default=0)
    return {name: np.concatenate([part[name][:, :length] for part in parts]) for name in parts[0]}


def _stack(dicts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.stack([d[name] for d in dicts], 1) for name in dicts[0]}
