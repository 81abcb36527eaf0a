"""What a trained agent believes against what happens: open-loop errors, predicted costs, values and plans on new layouts.

Episodes of their own layouts are played with the evaluation policy; windows of them are then predicted from their first rows and the
actions alone. Shapes: E episodes of T+1 rows; windows of C observed and K predicted rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.api import EnvSpec, PyTree
from agents.returns import lambda_return
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.open_loop import OpenLoop, open_loop
from agents.safedreamer.world_model import cost_confusion
from benchmarks.evaluate import Traces

NEAR = 0.6  # metres; hazards nearer than this decide about the next second
WINDOWS_AT_ONCE = 64


class Finding(NamedTuple):
    """One figure: what it is, agent steps ahead (-1 where that means nothing), value."""

    quantity: str
    steps_ahead: int
    value: float


def diagnose(
    agent: SafeDreamer, state: PyTree, traces: Traces, *, context: int = 20, horizon: int = 15, seed: int = 0
) -> list[Finding]:
    """All findings. Raises ValueError when episodes are shorter than one window."""
    length = traces.rows["reward"].shape[1]
    if length < context + horizon:
        raise ValueError(f"episodes have {length} rows, fewer than a window of context {context} + horizon {horizon}")
    windows = cut_windows(traces.rows, context + horizon)
    predicted = _predict(agent, state, windows, context, jax.random.key(seed))
    truth = {name: values[:, context - 1 :] for name, values in windows.items()}
    return [
        *open_loop_errors(agent.env, predicted, truth),
        *value_errors(agent, predicted, traces.rows, context, context + horizon),
        *plan_report(agent, traces),
    ]


def cut_windows(rows: dict[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """Windows [N, length, ...] without overlap, from the start of every episode; an incomplete last one is left out."""
    count = rows["reward"].shape[1] // length
    return {k: v[:, : count * length].reshape(-1, length, *v.shape[2:]) for k, v in rows.items()}


def _predict(agent: SafeDreamer, state: PyTree, windows: dict[str, np.ndarray], context: int, key: jax.Array) -> OpenLoop:
    run = jax.jit(lambda params, rows, key: open_loop(agent.networks(params), rows, context, key))
    parts = []
    for begin in range(0, len(windows["reward"]), WINDOWS_AT_ONCE):
        part = {name: values[begin : begin + WINDOWS_AT_ONCE] for name, values in windows.items()}
        parts.append(jax.device_get(run(state.params, part, jax.random.fold_in(key, begin))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def open_loop_errors(env: EnvSpec, predicted: OpenLoop, truth: dict[str, np.ndarray]) -> Iterator[Finding]:
    """Errors of observations, reward and cost at every number of steps ahead; predictions and truth [N, K+1, ...]."""
    for k in range(truth["reward"].shape[1]):
        for name in env.obs:
            true = truth[name][:, k].astype(np.float64) / (255.0 if env.obs[name].dtype == "uint8" else 1.0)
            error = np.asarray(predicted.obs[name])[:, k] - true
            yield Finding(f"{name} root mean square error", k, float(np.sqrt(np.square(error).mean())))
            if len(env.obs[name].shape) == 1:
                yield from _layout_errors(env, error, true, k)
                if np.size(predicted.hazards):
                    yield _near_hazards(
                        "tracked hazards", np.asarray(predicted.hazards)[:, k], true[:, env.layout["hazards"]], k
                    )
        reward, cost = np.asarray(predicted.reward)[:, k], np.asarray(predicted.cost)[:, k]
        yield Finding("reward correlation", k, _correlation(reward, truth["reward"][:, k]))
        yield Finding("reward error (predicted - true)", k, float((reward - truth["reward"][:, k]).mean()))
        for name, value in cost_confusion(jnp.asarray(cost), jnp.asarray(truth["cost"][:, k])).items():
            yield Finding(name.removeprefix("model/").replace("_", " "), k, float(value))


def _layout_errors(env: EnvSpec, error: np.ndarray, true: np.ndarray, k: int) -> Iterator[Finding]:
    """Of a flat observation's named parts; of hazards also the distance in metres by which near ones are misplaced."""
    for name, part in env.layout.items():
        yield Finding(f"{name} root mean square error", k, float(np.sqrt(np.square(error[:, part]).mean())))
        if name == "hazards":
            yield _near_hazards("hazards", (true + error)[:, part], true[:, part], k)


def _near_hazards(name: str, predicted: np.ndarray, true: np.ndarray, k: int) -> Finding:
    """By how many metres hazards near the robot are misplaced; positions [N, 2 * hazards]."""
    off, away = (np.linalg.norm(x.reshape(len(x), -1, 2), axis=-1) for x in (predicted - true, true))
    return Finding(f"{name} nearer than {NEAR} m: error in metres", k, _mean(off[away < NEAR]))


def value_errors(
    agent: SafeDreamer, predicted: OpenLoop, rows: dict[str, np.ndarray], context: int, length: int
) -> Iterator[Finding]:
    """Critics at the last observed row of each window against the discounted sums that followed in the episode.

    Only rows after which at least twice the discount horizon remains count, so that what the end cuts off matters little.
    """
    imagination = agent.config.imagination
    rest = rows["reward"].shape[1] - 2 * int(imagination.discount_horizon)
    at = np.arange(rows["reward"].shape[1] // length) * length + context - 1
    at = at[at < rest]
    critics = ("reward", predicted.value, imagination.discount), ("cost", predicted.cost_value, imagination.cost_discount)
    for name, values, discount in critics:
        if name == "cost" and not agent.config.use_cost:
            continue
        said = np.asarray(values)[:, 0].reshape(len(rows["reward"]), -1)[:, : len(at)]
        received = jnp.asarray(rows[name][:, 1:].T)  # [T, E], on arriving at rows 1, 2, ...
        nothing = jnp.zeros_like(received, shape=(len(received) + 1, received.shape[1]))
        true = np.asarray(lambda_return(received, nothing, jnp.full_like(received, discount), lam=1.0)).T[:, at]
        yield Finding(f"{name} critic", -1, _mean(said))
        yield Finding(f"{name} that followed, discounted", -1, _mean(true))
        yield Finding(f"{name} critic correlation", -1, _correlation(said.ravel(), true.ravel()))


def plan_report(agent: SafeDreamer, traces: Traces) -> Iterator[Finding]:
    """Safe plans, and the episode cost that plans promised against what their horizon then cost."""
    if agent.config.act_with != "planner":
        return
    planner, safe = agent.config.planner, traces.info["plan/safe_fraction"]
    candidates = planner.candidates + planner.proposals
    yield Finding("share of safe plans", -1, _mean(safe))
    yield Finding("share of decisions without any safe plan", -1, _mean(safe == 0))
    yield Finding("share of decisions with fewer safe plans than elites", -1, _mean(safe * candidates < planner.elites - 0.5))
    cost = np.cumsum(traces.rows["cost"], 1)
    steps = safe.shape[1] - planner.horizon
    followed = (cost[:, planner.horizon : planner.horizon + steps] - cost[:, :steps]) * (
        agent.env.episode_agent_steps / planner.horizon
    )
    yield Finding("episode cost that plans promised", -1, _mean(traces.info["plan/cost"][:, :steps]))
    yield Finding("episode cost at the rate that followed", -1, _mean(followed))


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values)) if np.size(values) else float("nan")


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if np.size(a) > 1 and np.std(a) > 0 and np.std(b) > 0 else float("nan")
