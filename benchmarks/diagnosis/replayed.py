"""Tests whether the world model has memorised its replay buffer: costs and sensors at the
posterior, on replayed rows and on new ones.

The posterior includes the observation of the row itself, so nothing has to be predicted ahead. A
model that detects the costs of replayed rows but not those of new layouts has memorised sequences.
Shapes: N windows of C context rows and K evaluated rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import jax
import numpy as np
from numpy.typing import ArrayLike

from agents.api import PyTree
from agents.replay import journal
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.open_loop import AtPosterior, at_posterior
from benchmarks.diagnosis.calibration import PROBABILITY, SOFT_COUNT, calibration
from benchmarks.diagnosis.diagnose import cut_windows, in_parts
from benchmarks.diagnosis.findings import AT_POSTERIOR, MODEL, NEW, REPLAYED, Finding
from benchmarks.diagnosis.prediction_errors import cost_and_reward_agreement, square_errors, unit
from benchmarks.runs import checkpoint
from benchmarks.runs.files import REPLAY
from benchmarks.runs.spec import RunSpec
from benchmarks.training.evaluation import Traces
from benchmarks.training.transitions import make_replay


def replayed_against_new(
    agent: SafeDreamer,
    state: PyTree,
    spec: RunSpec,
    saved: Path,
    traces: Traces,
    context: int,
    steps: int,
) -> list[Finding]:
    """Findings on equally many windows of the replay of checkpoint `saved` and of the episodes in
    `traces`; empty if the replay is missing.

    Raises ValueError if the replay is damaged.
    """
    folder = saved.parents[1] / REPLAY
    if not folder.is_dir():
        return []
    rows, length = traces.rows["reward"].shape[1], context + steps
    new = cut_windows(traces.rows, np.arange(0, rows - length + 1, steps), length)
    in_memory = dataclasses.replace(spec, replay=dataclasses.replace(spec.replay, directory=""))
    replay = make_replay(in_memory, agent.env)
    journal.load(replay, folder, checkpoint.read_meta(saved, spec.run_id)["replay_mark"])
    old = replay.sample(len(new["reward"]), length, np.random.default_rng(spec.seed))
    return [
        f
        for name, windows in ((REPLAYED, old), (NEW, new))
        for f in of_rows(agent, state, windows, context, name)
    ]


def of_rows(
    agent: SafeDreamer, state: PyTree, windows: Mapping[str, np.ndarray], context: int, name: str
) -> Iterator[Finding]:
    """Errors and cost calibration on the rows of windows [N, C+K, ...] after the first
    `context`.
    """
    env = agent.env
    seen = _at_posterior(agent, state, windows, context)
    true = _flat({k: windows[k][:, context:] for k in (*env.obs, "reward", "cost")})
    guess = _flat({**seen.obs, "reward": seen.reward, "cost": seen.cost})
    scaled = {k: x * unit(env, k) for k, x in true.items()}
    said = np.asarray(seen.cost_probability).reshape(-1, 1)
    for quantity, value in (
        *square_errors(env, guess, scaled),
        *cost_and_reward_agreement(guess, scaled),
    ):
        yield Finding(f"{AT_POSTERIOR}{name}: {quantity}", -1, value)
    if not agent.config.use_cost:
        return
    yield Finding(f"{AT_POSTERIOR}{name}: cost predicted", -1, float(guess["cost"].mean()))
    yield Finding(f"{AT_POSTERIOR}{name}: cost true", -1, float(true["cost"].mean()))
    what = SOFT_COUNT if agent.config.model.counts_hazards else PROBABILITY
    for f in calibration(what, said, true["cost"][:, None]):
        if f.predictor == MODEL:
            yield f._replace(
                quantity=f"{AT_POSTERIOR}{name}: {f.quantity.replace(': ', ', ')}", steps_ahead=-1
            )


def _flat(rows: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Merge the rows of all windows: [N, K, ...] -> [N * K, ...]."""
    arrays = {name: np.asarray(values) for name, values in rows.items()}
    return {name: x.reshape(-1, *x.shape[2:]) for name, x in arrays.items()}


def _at_posterior(
    agent: SafeDreamer, state: PyTree, windows: Mapping[str, np.ndarray], context: int
) -> AtPosterior:
    run = jax.jit(
        lambda params, rows, key: at_posterior(agent.networks(params), rows, context, key)
    )
    return in_parts(partial(run, state.params), windows, jax.random.key(0))
