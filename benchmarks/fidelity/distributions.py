"""Checks the two-hot distribution and percentile normaliser against `distributions.npz`."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from agents.nn.distributions import twohot_log_prob, twohot_mean
from agents.returns import init_return_norm, return_scale, update_return_norm
from benchmarks.fidelity.arrays import load_arrays, require
from benchmarks.fidelity.report import Row, compare, compare_columns


def run_normaliser(returns: np.ndarray) -> np.ndarray:
    """(offset, scale) of the percentile normaliser after each of the inputs [U, ...] -> [U, 2]."""

    def step(state, values):
        state = update_return_norm(state, values)
        return state, jnp.stack([state.low, return_scale(state)])

    return np.asarray(jax.lax.scan(step, init_return_norm(), jnp.asarray(returns, jnp.float32))[1])


def check(path: Path) -> list[Row]:
    """Check mean and log-likelihood of the two-hot distribution, and the normaliser's outputs."""
    rows, data = [], load_arrays(path)
    if any(name.startswith("twohot_") for name in data):
        require(data, path, ("twohot_logits", "twohot_x", "twohot_mean", "twohot_logprob"))
        logits, x = jnp.asarray(data["twohot_logits"]), jnp.asarray(data["twohot_x"])
        rows.append(compare("twohot/mean", twohot_mean(logits), data["twohot_mean"]))
        rows.append(compare("twohot/logprob", twohot_log_prob(logits, x), data["twohot_logprob"]))
    if any(name.startswith("moments_") for name in data):
        require(data, path, ("moments_x", "moments_offset_scale"))
        ours, ref = run_normaliser(data["moments_x"]), data["moments_offset_scale"]
        rows += compare_columns("normaliser", ("offset", "scale"), ours, ref)
    return rows
