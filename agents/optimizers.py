"""The optimiser of every network: global-norm gradient clipping, then Adam."""

from __future__ import annotations

from typing import Any

import jax
import optax

from agents.settings import OptimizerConfig


def make_optimizer(
    config: OptimizerConfig, schedule: optax.Schedule | None = None
) -> optax.GradientTransformation:
    """Global-norm clipping, then Adam; a `schedule` replaces the constant learning rate."""
    rate = config.learning_rate if schedule is None else schedule
    return optax.chain(optax.clip_by_global_norm(config.clip), optax.adam(rate, eps=config.eps))


def init_optimizers(optimizers: Any, params: Any) -> Any:
    """States of a NamedTuple of optimisers; None where there is nothing to learn."""
    pairs = zip(optimizers, params, strict=True)
    return type(params)(*(None if o is None or p is None else o.init(p) for o, p in pairs))


def gradient_step(
    optimizers: Any, state: Any, name: str, grads: Any, rate: jax.Array | None = None
) -> tuple[Any, jax.Array]:
    """One optimiser step of `state.params.NAME`; returns the next state and the gradient's norm.

    `state` has `params` and `optimizers` (states), NamedTuples with the fields of `optimizers`.
    `rate`, if given, multiplies the learning rate.
    """
    params = getattr(state.params, name)
    optimizer, opt_state = getattr(optimizers, name), getattr(state.optimizers, name)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    if rate is not None:
        updates = jax.tree.map(lambda x: rate * x, updates)
    state = state._replace(
        params=state.params._replace(**{name: optax.apply_updates(params, updates)}),
        optimizers=state.optimizers._replace(**{name: opt_state}),
    )
    return state, optax.tree.norm(grads)
