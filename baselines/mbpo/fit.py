"""Fits the ensemble: one step on a replayed batch, or until the held-out error stops falling, on a
window of replayed transitions.

The agent receives batches, not the replay: the window holds the transitions of the latest batches,
so that a fit to convergence learns from a uniform sample of all data, with repetitions, where MBPO
passes over all data. Whether a transition is held out depends on its content, so that all its
repetitions are treated alike.

Shapes: E members, N rows.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.optimizers import make_optimizer
from baselines.mbpo import ring
from baselines.mbpo.config import ModelConfig
from baselines.mbpo.ensemble import Ensemble, EnsembleParams, Scales, fresh_scales, update_scales
from baselines.mbpo.ring import Ring
from baselines.sac.update import Transitions, zero_transition

ERROR_DECAY = 0.98  # EMA decay of the held-out error of an ensemble fitted online
GRID = 4096.0  # steps per unit to which values are rounded before hashing
_PRIME, _GOLDEN = 16777619, 2654435761  # of the FNV hash; 2^32 over the golden ratio


class ModelState(NamedTuple):
    """State of fitting, in addition to parameters and optimiser.

    `error` [E] ranks the members: that of the last fit, or an EMA. `window` and `holdout` are None
    for an ensemble fitted online.
    """

    scales: Scales
    error: jax.Array
    window: Ring | None
    holdout: Ring | None


class Fit(NamedTuple):
    """A fit to convergence in progress; `best` and `error` [E] are each member's best so far."""

    params: EnsembleParams
    opt: Any
    best: Any
    error: jax.Array
    stale: jax.Array
    epoch: jax.Array
    key: jax.Array


def held_out(data: Transitions, share: float) -> jax.Array:
    """Which rows [N] are held out: a hash of state, action and next state below `share`.

    Values are rounded first: the last bits of a symlog may depend on the row's place in its batch.
    """
    values = jnp.concatenate([data.z, data.action, data.z_next], -1)
    bits = jax.lax.bitcast_convert_type(jnp.round(values * GRID).astype(jnp.int32), jnp.uint32)

    def mix(hashed: jax.Array, column: jax.Array) -> tuple[jax.Array, None]:
        hashed = (hashed ^ column) * jnp.uint32(_PRIME)
        return hashed ^ (hashed >> 15), None

    hashed, _ = jax.lax.scan(mix, jnp.full(bits.shape[0], 2166136261, jnp.uint32), bits.T)
    hashed = hashed * jnp.uint32(_GOLDEN)
    return (hashed >> 8).astype(jnp.float32) < share * 2.0**24


class Fitter:
    """The two ways to fit, for one configuration; stateless."""

    def __init__(self, config: ModelConfig, ensemble: Ensemble):
        self.config, self.ensemble = config, ensemble
        self.optimizer = make_optimizer(config.optimizer)

    def fresh(self) -> ModelState:
        """State before any data."""
        config, size, action = self.config, self.ensemble.size, self.ensemble.action_dim
        row = zero_transition(size, action)
        converge = config.fit == "converge"
        return ModelState(
            fresh_scales(size, action, config.within_range),
            jnp.zeros(config.members),
            ring.empty(config.window, row) if converge else None,
            ring.empty(config.holdout, row) if converge else None,
        )

    def __call__(
        self,
        params: EnsembleParams,
        opt: Any,
        state: ModelState,
        data: Transitions,
        updates: jax.Array,
        key: jax.Array,
    ) -> tuple[EnsembleParams, Any, ModelState, dict[str, jax.Array]]:
        """Learn from the replayed transitions [N, ...] of one update."""
        out = held_out(data, self.config.holdout_share)
        state = state._replace(scales=update_scales(state.scales, data))
        if state.window is None or state.holdout is None:
            return self._online(params, opt, state, data, out, key)
        real = data.weight > 0
        window = ring.insert(state.window, data, real & ~out)
        holdout = ring.insert(state.holdout, data, real & out)
        due = (updates + 1) % self.config.fit_every == 0

        def fit(_):
            return self.converge(params, opt, state.scales, window, holdout, key)

        def keep(_):
            return params, opt, state.error, jnp.zeros((), jnp.int32)

        params, opt, error, epochs = jax.lax.cond(due, fit, keep, None)
        state = state._replace(error=error, window=window, holdout=holdout)
        metrics = {"model/error": error.mean(), "model/epochs": epochs.astype(jnp.float32)}
        return params, opt, state, metrics

    def step(
        self, params: EnsembleParams, opt: Any, scales: Scales, data: Transitions
    ) -> tuple[EnsembleParams, Any, dict[str, jax.Array]]:
        """One gradient step on rows [E, N, ...]; returns parameters, optimiser state, metrics."""
        grads, parts = jax.grad(self.ensemble.loss, has_aux=True)(params, scales, data)
        updates, opt = self.optimizer.update(grads, opt, params)
        parts |= {"model/grad_norm": optax.tree.norm(grads)}
        return optax.apply_updates(params, updates), opt, parts  # pyright: ignore[reportReturnType]

    def _online(self, params, opt, state: ModelState, data: Transitions, out, key):
        """One step on a bootstrap sample of the batch per member; errors are EMAs."""
        config, rows = self.config, data.weight.shape[0]
        error = self.ensemble.error(params, state.scales, data._replace(weight=data.weight * out))
        error = ERROR_DECAY * state.error + (1.0 - ERROR_DECAY) * error
        train = data._replace(weight=data.weight * ~out)
        index = jax.random.randint(key, (config.members, rows), 0, rows)
        train = jax.tree.map(lambda x: x[index], train)
        params, opt, metrics = self.step(params, opt, state.scales, train)
        state = state._replace(error=error)
        return params, opt, state, metrics | {"model/error": error.mean()}

    def converge(
        self,
        params: EnsembleParams,
        opt: Any,
        scales: Scales,
        window: Ring,
        holdout: Ring,
        key: jax.Array,
    ) -> tuple[EnsembleParams, Any, jax.Array, jax.Array]:
        """Train on the window until no member's held-out error has fallen by
        `improvement` for `patience` epochs; each member ends at its best.

        Returns parameters, optimiser state, errors [E] and the number of epochs.
        """
        config = self.config
        weight = (jnp.arange(holdout.capacity) < holdout.size).astype(jnp.float32)
        judge: Transitions = holdout.rows._replace(weight=weight)

        def batch_step(carry, step_key):
            rows = ring.draw(window, step_key, (config.members, config.batch))
            params, opt, _ = self.step(carry[0], carry[1], scales, rows)
            return (params, opt), None

        def epoch(fit: Fit) -> Fit:
            key, epoch_key = jax.random.split(fit.key)
            keys = jax.random.split(epoch_key, config.epoch_steps)
            (params, opt), _ = jax.lax.scan(batch_step, (fit.params, fit.opt), keys)
            error = self.ensemble.error(params, scales, judge)
            better = error < fit.error * (1.0 - config.improvement)
            best = jax.tree.map(
                lambda new, old: jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old),
                params.net,
                fit.best,
            )
            stale = jnp.where(better.any(), 0, fit.stale + 1)
            error = jnp.where(better, error, fit.error)
            return Fit(params, opt, best, error, stale, fit.epoch + 1, key)

        def going(fit: Fit) -> jax.Array:
            return (fit.epoch < config.max_epochs) & (fit.stale < config.patience)

        zero = jnp.zeros((), jnp.int32)
        first = self.ensemble.error(params, scales, judge)
        fit = jax.lax.while_loop(going, epoch, Fit(params, opt, params.net, first, zero, zero, key))
        params = fit.params._replace(net=fit.best)
        return params, fit.opt, fit.error, fit.epoch
