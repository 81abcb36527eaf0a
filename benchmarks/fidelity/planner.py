"""Checks the planner against recorded plans (`planner.npz`).

Compares distributions over random seeds, since the two random number generators differ.

A recording holds, for each regime, plans from a few recorded posterior states under many seeds, and
those of a second call warm-started from the first. Each quantity is judged over all its elements
(starts, rows, action dimensions):
- means over seeds differ by at most 4 standard errors of the difference (`mean_limit` raises this a
  little for large recordings, so that a correct planner fails the whole file by chance in about one
  of a hundred recordings);
- spreads over seeds, root mean square over elements, differ by at most 25 %. A single element's
  spread is too noisy for such a bound: 64 seeds determine it to 9 % at best.

Shapes: G starts, S recorded seeds, O our seeds, H planned steps, A actions; plans are
[G, S or O, H+1, A].
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import stdtrit

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.planner import plan, warm_start
from agents.safedreamer.planner_config import PlannerConfig
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import untracked
from benchmarks.fidelity.arrays import RecordingError, load_arrays, require
from benchmarks.fidelity.recording import Recording
from benchmarks.fidelity.report import Row

OUR_SEEDS = 64
MAX_STANDARD_ERRORS = 4.0
FALSE_ALARMS = 0.01  # accepted chance that a correct planner fails somewhere in a recording
MAX_SPREAD_ERROR = 0.25
# differences of means below this count as zero, even if neither side varies over seeds
ROUNDING = 1e-4
QUANTITIES = ("action", "mean", "std", "action2", "mean2", "std2")
BATCH_SEEDS = 8  # seeds planned at once: bounds memory


class Regime(NamedTuple):
    """Cost limit passed to the planner and the objective that ranks plans."""

    cost_limit: float
    objective: str


REGIMES = {
    "all_unsafe": Regime(-1e9, "return"),
    "all_safe": Regime(1e9, "return"),
    "lag_all_safe": Regime(1e9, "lagrangian"),
}

TwoPlans = Callable[[jax.Array], dict[str, jax.Array]]


def planner_config(rec: Recording, settings: np.ndarray, objective: str) -> PlannerConfig:
    """The recorded settings [4] = horizon, samples, elites, iterations; no actor proposals."""
    horizon, candidates, elites, iterations = (int(x) for x in settings)
    return dataclasses.replace(
        rec.agent.config.planner,
        horizon=horizon,
        candidates=candidates,
        elites=elites,
        iterations=iterations,
        actor_fraction=0.0,
        objective=objective,
        feasible_filter=True,
        elite_weights="uniform",
    )


def make_planner(
    rec: Recording, config: PlannerConfig, starts: np.ndarray, limit: float, multiplier: float
) -> TwoPlans:
    """A function of a key that returns the plans of a first call, and of a second call warm-started
    from it, for the starts [G, 2] = (b, t).
    """
    b, t = starts.T
    start = untracked(Latent(*(x[b, t] for x in rec.latent("post"))))
    count = len(starts)
    agent = SafeDreamer(dataclasses.replace(rec.agent.config, planner=config), rec.agent.env)

    # `agent.plan` would raise a negative limit to 0, under which a plan without costs is safe
    def two_plans(key: jax.Array) -> dict[str, jax.Array]:
        evaluate = agent.evaluation(rec.nets, start, config)
        first_key, second_key = jax.random.split(key)
        zeros = jnp.zeros((count, config.horizon + 1, agent.env.action_dim))
        no_proposals = jnp.zeros((count, 0, *zeros.shape[1:]))
        rest = no_proposals, limit, jnp.asarray(multiplier)
        first = plan(config, evaluate, zeros, *rest, first_key)
        shifted = warm_start(first.mean, jnp.zeros(count, bool))
        second = plan(config, evaluate, shifted, *rest, second_key)
        parts = [(p.mean[:, 0], p.mean, p.std) for p in (first, second)]
        return dict(zip(QUANTITIES, itertools.chain(*parts), strict=True))

    return two_plans


def sample_plans(two_plans: TwoPlans, seeds: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Plans [G, O, ...] for `seeds` keys."""
    keys = jax.random.split(jax.random.key(seed), seeds)
    plans = jax.jit(lambda k: jax.lax.map(two_plans, k, batch_size=min(BATCH_SEEDS, seeds)))(keys)
    return {name: np.asarray(x).swapaxes(0, 1) for name, x in plans.items()}


def mean_limit(comparisons: int, ours: int, recorded: int) -> float:
    """Allowed standard errors: 4, or the limit that keeps the chance of any false alarm in all
    `comparisons` at 1 %.

    Spreads are estimated from these numbers of seeds, so the quantile is Student's, with Welch's
    degrees of freedom for equal variances.
    """
    shares = 1.0 / ours, 1.0 / recorded
    freedom = sum(shares) ** 2 / (shares[0] ** 2 / (ours - 1) + shares[1] ** 2 / (recorded - 1))
    student = stdtrit(freedom, 1.0 - FALSE_ALARMS / (2 * comparisons))
    return max(MAX_STANDARD_ERRORS, float(student))


def compare_plans(quantity: str, ours: np.ndarray, ref: np.ndarray, limit: float) -> Row:
    """Compare plans [G, O, ...] and [G, S, ...].

    Means over seeds are compared in standard errors, the root mean square of spreads over seeds as
    a ratio.
    """
    if ours.shape[:1] + ours.shape[2:] != ref.shape[:1] + ref.shape[2:]:
        return Row(quantity, ref.shape, note=f"our shape is {ours.shape} (seeds apart)")
    if not (np.isfinite(ours).all() and np.isfinite(ref).all()):
        return Row(quantity, ref.shape, note="not finite")
    ours, ref = ours.astype(np.float64), ref.astype(np.float64)
    error = np.abs(ours.mean(1) - ref.mean(1))
    variances = ours.var(1, ddof=1), ref.var(1, ddof=1)
    standard_error = np.sqrt(variances[0] / ours.shape[1] + variances[1] / ref.shape[1])
    worst = float((np.maximum(0.0, error - ROUNDING) / (standard_error + 1e-12)).max())
    spreads = [float(np.sqrt(v.mean())) for v in variances]
    wider = abs(spreads[0] - spreads[1]) / max(spreads[1], ROUNDING)
    note = (
        f"worst mean {worst:.1f} of {limit:.1f} standard errors, spread {100 * wider:.0f} % of "
        "25 % off"
    )
    scale = float(np.abs(ref.mean(1)).max())
    relative = float(error.max()) / scale if scale > 0 else float(error.max())
    ok = worst <= limit and wider <= MAX_SPREAD_ERROR
    return Row(quantity, ref.shape, float(error.max()), relative, ok, note)


def check_planner(rec: Recording, path: Path) -> list[Row]:
    """Compare all regimes of a planner recording; RecordingError if it is empty or incomplete."""
    arrays = load_arrays(path)
    require(arrays, path, ("starts", "settings"))
    regimes = [name for name in REGIMES if f"{name}_action" in arrays]
    if not regimes:
        raise RecordingError(f"{path.name} holds none of the regimes {', '.join(REGIMES)}")
    recorded = {
        f"{regime}/{name}": arrays.get(f"{regime}_{name}")
        for regime in regimes
        for name in QUANTITIES
    }
    comparisons = sum(x[:, 0].size for x in recorded.values() if x is not None)
    limit = mean_limit(comparisons, OUR_SEEDS, arrays[f"{regimes[0]}_action"].shape[1])
    rows = []
    for regime in regimes:
        cost_limit, objective = REGIMES[regime]
        if objective == "lagrangian":
            require(arrays, path, ("lagrange_penalty",))
        config = planner_config(rec, arrays["settings"], objective)
        multiplier = float(arrays.get("lagrange_penalty", 0.0))
        ours = sample_plans(
            make_planner(rec, config, arrays["starts"], cost_limit, multiplier), OUR_SEEDS
        )
        for name in QUANTITIES:
            reference = recorded[f"{regime}/{name}"]
            if reference is not None:
                rows.append(compare_plans(f"planner/{regime}/{name}", ours[name], reference, limit))
    return rows
