"""Temporally correlated noise for sampled plans, as in iCEM (Pinneri et al. 2020,
arXiv:2008.06389, section 3.1).

Shapes: L rows of a plan (H+1), A actions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np


def coloring(exponent: float, rows: int) -> np.ndarray:
    """Matrix [L, L] that turns white noise [L] into coloured noise.

    The result's power spectral density is proportional to frequency^-exponent: 0 white, 1 pink,
    2 red. Each row keeps unit variance. As in iCEM the spectrum is that of a periodic signal, and
    the frequency 0 has the power of the lowest other one; so the covariance of steps t and s is

        C[t, s] = sum_f S[f] cos(2 pi f (t - s) / L) / sum_f S[f],    S[f] = max(f, 1 / L)^-exponent

    and the matrix is its symmetric square root.
    """
    frequency = np.abs(np.fft.fftfreq(rows))
    power = np.maximum(frequency, 1.0 / rows) ** -exponent
    steps = np.arange(rows)
    lag = steps[:, None] - steps[None, :]
    covariance = (power[:, None, None] * np.cos(2 * np.pi * frequency[:, None, None] * lag)).sum(0)
    values, vectors = np.linalg.eigh(covariance / power.sum())
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def plan_noise(key: jax.Array, shape: tuple[int, ...], exponent: float) -> jax.Array:
    """Standard normal noise [..., L, A], coloured along L where `exponent` is not 0."""
    noise = jax.random.normal(key, shape)
    if exponent == 0.0:
        return noise
    return jnp.einsum("ts,...sa->...ta", coloring(exponent, shape[-2]), noise)
