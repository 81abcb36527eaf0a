"""Median of several timed calls, and the machine's matmul peak for reference."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Timing(NamedTuple):
    """Seconds of repeated calls after a warm-up; `first` includes compilation."""

    median: float
    low: float
    high: float
    first: float
    repeats: int


def measure(call: Callable[[], Any], repeats: int) -> Timing:
    """Time `call` until its result is ready."""
    begun = time.perf_counter()
    jax.block_until_ready(call())
    first = time.perf_counter() - begun
    seconds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(call())
        seconds.append(time.perf_counter() - begun)
    return Timing(statistics.median(seconds), min(seconds), max(seconds), first, repeats)


def matmul_peak(dtype: str, size: int | None = None) -> float:
    """Median FLOP/s of several large square matrix products."""
    n = size or (2048 if jax.default_backend() == "cpu" else 8192)
    a = jnp.ones((n, n), dtype)
    product = jax.jit(lambda x: x @ x)
    return 2.0 * n**3 / measure(lambda: product(a), 7).median
