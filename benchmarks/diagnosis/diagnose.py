"""Diagnoses a trained agent: open-loop errors, predicted costs, values and plans on new layouts.

Episodes are played with the evaluation policy; windows of them are then predicted from their first
rows and the actions alone. Shapes: E episodes of T+1 rows; W windows per episode, with C observed
and K predicted rows; N = E * W windows in total.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.api import PyTree
from agents.returns import lambda_return
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.open_loop import OpenLoop, open_loop
from baselines.mbpo.agent import MBPO
from baselines.mbpo.open_loop import open_loop as ensemble_open_loop
from benchmarks.diagnosis.calibration import PROBABILITY, SOFT_COUNT, calibration
from benchmarks.diagnosis.findings import Finding
from benchmarks.diagnosis.prediction_errors import correlation, mean, prediction_errors
from benchmarks.training.evaluation import Traces

WINDOWS_AT_ONCE = 64


def diagnose(
    agent: SafeDreamer | MBPO,
    state: PyTree,
    traces: Traces,
    *,
    context: int = 20,
    horizon: int = 15,
    stride: int = 5,
    seed: int = 0,
) -> list[Finding]:
    """All findings on these episodes; for MBPO's family, prediction errors only.

    Findings about critics and plans are omitted if the policy did not act.

    Raises ValueError if the episodes are shorter than one window, or the agent has no model.
    """
    rows, length = traces.rows["reward"].shape[1], context + horizon
    if rows < length:
        raise ValueError(
            f"episodes have {rows} rows, fewer than a window of context {context} + horizon "
            f"{horizon}"
        )
    starts = np.arange(0, rows - length + 1, stride)
    windows = cut_windows(traces.rows, starts, length)
    truth = {name: values[:, context - 1 :] for name, values in windows.items()}
    key = jax.random.key(seed)
    if isinstance(agent, MBPO):
        run = jax.jit(partial(ensemble_open_loop, agent.learner, state, context=context))
        ahead = in_parts(lambda rows, key: run(rows, key=key), windows, key)
        return [*prediction_errors(agent.env, ahead, truth)]
    predicted = predict(agent, state, windows, context, key)
    findings = [*prediction_errors(agent.env, predicted, truth)]
    if agent.config.use_cost:
        name = SOFT_COUNT if agent.config.model.counts_hazards else PROBABILITY
        findings += calibration(
            name, np.asarray(predicted.cost_probability), truth["cost"], len(traces.rows["reward"])
        )
    if not traces.info:
        return findings
    last_seen = starts + context - 1
    return [
        *findings,
        *value_errors(agent, predicted, traces.rows, last_seen),
        *plan_report(agent, traces),
    ]


def cut_windows(
    rows: dict[str, np.ndarray], starts: np.ndarray, length: int
) -> dict[str, np.ndarray]:
    """Windows [N, length, ...] that begin at rows `starts` of every episode, grouped by episode."""
    index = starts[:, None] + np.arange(length)
    return {k: v[:, index].reshape(-1, length, *v.shape[2:]) for k, v in rows.items()}


def predict(
    agent: SafeDreamer, state: PyTree, windows: dict[str, np.ndarray], context: int, key: jax.Array
) -> OpenLoop:
    """Open-loop predictions of windows [N, C+K, ...] by the networks used for acting, see
    `open_loop`; images in half precision.
    """
    return in_parts(partial(_predict, agent, state.params, context=context), windows, key)


def in_parts(run: Callable[..., Any], windows: Mapping[str, np.ndarray], key: jax.Array) -> Any:
    """Result of `run(rows, key)` on all windows [N, ...], computed WINDOWS_AT_ONCE at a time."""
    parts = []
    for begin in range(0, len(windows["reward"]), WINDOWS_AT_ONCE):
        part = {name: values[begin : begin + WINDOWS_AT_ONCE] for name, values in windows.items()}
        parts.append(jax.device_get(run(part, jax.random.fold_in(key, begin))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@partial(jax.jit, static_argnames=("agent", "context"))
def _predict(
    agent: SafeDreamer, params: PyTree, rows: dict[str, jax.Array], key: jax.Array, context: int
) -> OpenLoop:
    result = open_loop(agent.acting_networks(params, key), rows, context, key)
    # Thousands of images have to fit into memory; half precision is exact to 0.0003 in 0..1.
    return result._replace(
        obs={k: x.astype(jnp.float16) if x.ndim == 5 else x for k, x in result.obs.items()}
    )


def value_errors(
    agent: SafeDreamer, predicted: OpenLoop, rows: dict[str, np.ndarray], last_seen: np.ndarray
) -> Iterator[Finding]:
    """Errors of critics at the last observed row of each window, `last_seen` [W], against the
    discounted sums that followed in the episode.

    Only rows followed by at least twice the discount horizon are used, so that truncation by the
    episode's end has little effect.
    """
    imagination = agent.config.imagination
    at = last_seen[last_seen < rows["reward"].shape[1] - 2 * int(imagination.discount_horizon)]
    critics = (
        ("reward", predicted.value, imagination.discount),
        ("cost", predicted.cost_value, imagination.cost_discount),
    )
    for name, values, discount in critics:
        if name == "cost" and not agent.config.use_cost:
            continue
        said = np.asarray(values)[:, 0].reshape(len(rows["reward"]), -1)[:, : len(at)]
        received = jnp.asarray(rows[name][:, 1:].T)  # [T, E], on arriving at rows 1, 2, ...
        nothing = jnp.zeros_like(received, shape=(len(received) + 1, received.shape[1]))
        true = np.asarray(
            lambda_return(received, nothing, jnp.full_like(received, discount), lam=1.0)
        ).T[:, at]
        yield Finding(f"{name} critic", -1, mean(said))
        yield Finding(f"{name} that followed, discounted", -1, mean(true))
        yield Finding(f"{name} critic correlation", -1, correlation(said.ravel(), true.ravel()))


def plan_report(agent: SafeDreamer, traces: Traces) -> Iterator[Finding]:
    """Share of safe plans, and the plans' predicted episode cost against the rate that followed."""
    if agent.config.act_with != "planner":
        return
    planner, safe = agent.config.planner, traces.info["plan/safe_fraction"]
    candidates = planner.candidates_per_iteration[-1] + planner.proposals
    yield Finding("share of safe plans", -1, mean(safe))
    yield Finding("share of decisions without any safe plan", -1, mean(safe == 0))
    fewer = mean(safe * candidates < planner.elites - 0.5)
    yield Finding("share of decisions with fewer safe plans than elites", -1, fewer)
    cost = np.cumsum(traces.rows["cost"], 1)
    steps = safe.shape[1] - planner.horizon
    followed = (cost[:, planner.horizon : planner.horizon + steps] - cost[:, :steps]) * (
        agent.env.episode_agent_steps / planner.horizon
    )
    yield Finding("episode cost that plans promised", -1, mean(traces.info["plan/cost"][:, :steps]))
    yield Finding("episode cost at the rate that followed", -1, mean(followed))
