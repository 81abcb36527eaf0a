"""Open-loop errors of observations, reward and cost, for the model and two baseline predictors.

The predictors: `model`; `last seen`, which repeats the last observed row; `mean`, which predicts
the mean of these same episodes.
Shapes: N windows; predictions and truth [N, K+1, ...], row 0 at the last observed row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import jax.numpy as jnp
import numpy as np

from agents.api import EnvSpec
from agents.safedreamer.open_loop import OpenLoop
from agents.world_models import cost_confusion
from baselines.mbpo.open_loop import OpenLoop as EnsembleOpenLoop
from benchmarks.diagnosis.findings import LAST_SEEN, MEAN, MODEL, Finding

NEAR = 0.6  # metres; hazards nearer than this can cause costs within the next second
TRACKED = "tracked hazards"

# arrays at one number of steps ahead, [N, ...], or [...] for a constant prediction
Rows: TypeAlias = Mapping[str, np.ndarray]
Named: TypeAlias = Iterator[tuple[str, float]]


def prediction_errors(
    env: EnvSpec, predicted: OpenLoop | EnsembleOpenLoop, truth: Mapping[str, np.ndarray]
) -> Iterator[Finding]:
    """All errors at all numbers of steps ahead.

    Images in 0..1, vectors in their own units, positions in metres.
    """
    names = (*env.obs, "reward", "cost")
    means = {name: truth[name].mean((0, 1), dtype=np.float64) * unit(env, name) for name in names}
    for k in range(truth["reward"].shape[1]):
        true, last = (
            {name: truth[name][:, at] * unit(env, name) for name in names} for at in (k, 0)
        )
        said = {name: np.asarray(values)[:, k] for name, values in predicted.obs.items()}
        said |= {n: np.asarray(getattr(predicted, n))[:, k] for n in ("reward", "cost")}
        if np.size(predicted.hazards):
            said[TRACKED] = np.asarray(predicted.hazards)[:, k]
            last[TRACKED] = _hazards(env, last)
        for predictor, guess in ((MODEL, said), (LAST_SEEN, last), (MEAN, means)):
            for quantity, value in square_errors(env, guess, true):
                yield Finding(quantity, k, value, predictor)
        for predictor, guess in ((MODEL, said), (LAST_SEEN, last)):  # undefined for a constant
            for quantity, value in (
                *_distances(env, guess, true),
                *cost_and_reward_agreement(guess, true),
            ):
                yield Finding(quantity, k, value, predictor)
        yield Finding(
            "reward error (predicted - true)", k, float((said["reward"] - true["reward"]).mean())
        )
        yield Finding("cost predicted", k, float(said["cost"].mean()))
        yield Finding("cost true", k, float(true["cost"].mean()))
    yield from summed_errors(predicted, truth)


def summed_errors(
    predicted: OpenLoop | EnsembleOpenLoop, truth: Mapping[str, np.ndarray]
) -> Iterator[Finding]:
    """Root mean square errors of rewards and costs summed over the steps ahead, and their growth.

    If each step adds its own error, the error of a sum over T steps grows as T (or as its square
    root, if errors are independent); if state errors accumulate, as T^2. The exponent is the slope
    of log(error) over log(T), by least squares.
    """
    for name in ("reward", "cost"):
        said, true = np.asarray(getattr(predicted, name), np.float64), truth[name].astype(float)
        if said.shape[1] < 3:
            continue
        constant = np.full_like(true, true.mean())
        for predictor, guess in ((MODEL, said), (MEAN, constant)):
            off = np.cumsum(guess[:, 1:] - true[:, 1:], 1)
            errors = np.sqrt(np.square(off).mean(0))
            for k, error in enumerate(errors, 1):
                yield Finding(f"summed {name}: error", k, error, predictor)
            if predictor == MODEL and (errors > 0).all():
                steps = np.log(np.arange(1, len(errors) + 1))
                slope = np.polyfit(steps, np.log(errors), 1)[0]
                yield Finding(f"summed {name}: error grows with steps to the power", -1, slope)


def _hazards(env: EnvSpec, rows: Rows) -> np.ndarray:
    """The observed hazard positions [N, 2 * hazards] that are tracked."""
    (name,) = (name for name, array in env.obs.items() if len(array.shape) == 1)
    return rows[name][:, env.layout["hazards"]]


def unit(env: EnvSpec, name: str) -> np.float64:
    return np.float64(1.0 / 255.0 if name in env.obs and env.obs[name].dtype == "uint8" else 1.0)


def square_errors(env: EnvSpec, guess: Rows, true: Rows) -> Named:
    """Root mean square errors of every observation array (each camera), the named parts of a flat
    one, reward and cost.
    """
    for name, array in env.obs.items():
        error = guess[name] - true[name]
        yield f"{name} root mean square error", _root_mean_square(error)
        for part, where in env.layout.items() if len(array.shape) == 1 else ():
            yield f"{part} root mean square error", _root_mean_square(error[:, where])
    for name in ("reward", "cost"):
        yield f"{name} root mean square error", _root_mean_square(guess[name] - true[name])


def _distances(env: EnvSpec, guess: Rows, true: Rows) -> Named:
    """Position errors in metres of the goal and of hazards near the robot, if the observation holds
    positions.
    """
    for name, array in env.obs.items():
        if len(array.shape) != 1:
            continue
        for part in ("goal", "hazards"):
            where = env.layout.get(part)
            if where is None:
                continue
            within, which = (NEAR, f" nearer than {NEAR} m") if part == "hazards" else (np.inf, "")
            said, seen = guess[name][:, where], true[name][:, where]
            yield f"{part}{which}: error in metres", _misplaced(said, seen, within)
            if part == "hazards" and TRACKED in guess:
                off = _misplaced(guess[TRACKED], seen, within)
                yield f"{TRACKED}{which}: error in metres", off


def _misplaced(guess: np.ndarray, true: np.ndarray, within: float) -> float:
    """Mean distance between positions [N, 2 * objects] and the true ones, over objects nearer than
    `within` metres.
    """
    off, away = (np.linalg.norm(x.reshape(len(x), -1, 2), axis=-1) for x in (guess - true, true))
    return mean(off[away < within])


def cost_and_reward_agreement(guess: Rows, true: Rows) -> Named:
    """Correlation of reward, and precision and recall of cost.

    Precision is NaN if no cost was predicted, recall if none occurred.
    """
    yield "reward correlation", correlation(guess["reward"], true["reward"])
    found = cost_confusion(jnp.asarray(guess["cost"]), jnp.asarray(true["cost"]))
    for name, exists in (
        ("precision", (guess["cost"] > 0.5).any()),
        ("recall", (true["cost"] > 0).any()),
    ):
        yield f"cost {name}", float(found[f"model/cost_{name}"]) if exists else float("nan")


def _root_mean_square(error: np.ndarray) -> float:
    return float(np.sqrt(np.square(error).mean()))


def mean(values: np.ndarray) -> float:
    """The mean; NaN if empty."""
    return float(np.mean(values)) if np.size(values) else float("nan")


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson correlation; NaN if either array is constant."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    varied = np.size(a) > 1 and np.std(a) > 0 and np.std(b) > 0
    return float(np.corrcoef(a, b)[0, 1]) if varied else float("nan")
