"""Distributions of DreamerV3's heads and latents, as plain functions of their logits.

Shapes: `...` batch axes; K = 255 two-hot bins; S categorical variables of C classes.
Sources: DreamerV3 (arXiv:2301.04104v1) for symlog, two-hot and the uniform mix; all maths in
float32, even where an accelerator would by default round the factors of float32 products to fewer
bits (TF32).
"""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

TWOHOT_LIMIT = 20.0  # bins span symlog values -20..20

_product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)


def symlog(x: jax.Array) -> jax.Array:
    """sign(x) ln(|x| + 1)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: jax.Array) -> jax.Array:
    """Inverse of `symlog`: sign(x) (exp(|x|) - 1)."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def twohot_bins(count: int) -> jax.Array:
    """Bin positions [K] in symlog space."""
    return jnp.linspace(-TWOHOT_LIMIT, TWOHOT_LIMIT, count, dtype=jnp.float32)


def twohot_mean(logits: jax.Array) -> jax.Array:
    """symexp(sum_k p_k bin_k): [..., K] -> [...]."""
    logits = logits.astype(jnp.float32)
    return symexp(_product(jax.nn.softmax(logits, -1), twohot_bins(logits.shape[-1])))


def twohot(x: jax.Array, count: int) -> jax.Array:
    """Two-hot code of symlog(x): weights on the two neighbouring bins, linear in the distance.

    [...] -> [..., K].
    """
    step = 2.0 * TWOHOT_LIMIT / (count - 1)
    position = jnp.clip((symlog(x.astype(jnp.float32)) + TWOHOT_LIMIT) / step, 0.0, count - 1.0)
    # A triangle of width one bin around the position: 1 - |position - k|, zero outside the two
    # neighbours.
    return jnp.maximum(
        0.0, 1.0 - jnp.abs(position[..., None] - jnp.arange(count, dtype=jnp.float32))
    )


def twohot_log_prob(logits: jax.Array, x: jax.Array) -> jax.Array:
    """sum_k twohot(x)_k log p_k: logits [..., K], x [...] -> [...]."""
    logits = logits.astype(jnp.float32)
    return (twohot(x, logits.shape[-1]) * jax.nn.log_softmax(logits, -1)).sum(-1)


def twohot_above(logits: jax.Array, threshold: float) -> jax.Array:
    """Probability of the bins above a value: [..., K] -> [...]."""
    logits = logits.astype(jnp.float32)
    above = symexp(twohot_bins(logits.shape[-1])) > threshold
    return _product(jax.nn.softmax(logits, -1), above.astype(jnp.float32))


def bernoulli_log_prob(logit: jax.Array, x: jax.Array) -> jax.Array:
    """Log-likelihood of x in {0, 1} under a Bernoulli with the given logit."""
    logit = logit.astype(jnp.float32)
    x = x.astype(jnp.float32)
    return x * jax.nn.log_sigmoid(logit) + (1.0 - x) * jax.nn.log_sigmoid(-logit)


def bernoulli_mode(logit: jax.Array) -> jax.Array:
    """1.0 where the probability exceeds one half."""
    return (logit > 0).astype(jnp.float32)


def unimix_probs(logits: jax.Array, unimix: float) -> jax.Array:
    """softmax(logits) mixed with a share `unimix` of the uniform distribution; [..., C]."""
    probs = jax.nn.softmax(logits.astype(jnp.float32), -1)
    return (1.0 - unimix) * probs + unimix / logits.shape[-1]


def onehot_from_uniform(uniform: jax.Array, probs: jax.Array) -> jax.Array:
    """Straight-through one-hot samples of categorical variables.

    uniform [...] in 0..1, probs [..., C] -> [..., C].

    Inverse-CDF sampling: one uniform number per variable. The Gumbel trick would draw one per
    class, and random number generation dominates a planner's rollout on CPU. The numbers are an
    argument so that those of a scan can be drawn before it, in one call. The cumulative sum is a
    product with a triangular matrix of ones, which is a fast matmul.
    """
    classes = probs.shape[-1]
    cdf = _product(
        jax.lax.stop_gradient(probs), jnp.triu(jnp.ones((classes, classes), probs.dtype))
    )
    index = (cdf[..., :-1] <= uniform[..., None] * cdf[..., -1:]).sum(-1)
    return straight_through(jax.nn.one_hot(index, classes, dtype=probs.dtype), probs)


def straight_through(value: jax.Array, probs: jax.Array) -> jax.Array:
    """`value` in the forward pass, gradients to `probs`."""
    return jax.lax.stop_gradient(value - probs) + probs


def mode_onehot(probs: jax.Array) -> jax.Array:
    """One-hot of the most likely class, [..., C] -> [..., C].

    Unlike a sample it passes no gradient, as in the release.
    """
    return jax.nn.one_hot(probs.argmax(-1), probs.shape[-1], dtype=probs.dtype)


def categorical_kl(post: jax.Array, prior: jax.Array) -> jax.Array:
    """KL(post || prior) of log-probabilities, summed over the S variables: [..., S, C] -> [...]."""
    return (jnp.exp(post) * (post - prior)).sum((-2, -1))


def categorical_entropy(log_probs: jax.Array) -> jax.Array:
    """Entropy of log-probabilities, summed over the S variables: [..., S, C] -> [...]."""
    return -(jnp.exp(log_probs) * log_probs).sum((-2, -1))


def normal_entropy(std: jax.Array) -> jax.Array:
    """Entropy of a diagonal normal, summed over the last axis: [..., A] -> [...]."""
    return (0.5 * jnp.log(2.0 * jnp.pi * jnp.e) + jnp.log(std)).sum(-1)
