"""Ensemble of probabilistic networks that predict one transition.

Each member maps a state and an action to normals of the state's difference, the reward and the
cost, and to the logit of termination (PETS, Chua et al. 2018, arXiv:1805.12114; MBPO, Janner et al.
2019, arXiv:1906.08253, where termination is known instead).

Shapes: E members, N rows, Z size of a state, A action, O = Z + 2 predicted numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.nn.distributions import bernoulli_log_prob
from agents.nn.params import graphs_of, params_of
from baselines.layers import MLP
from baselines.mbpo import moments as running
from baselines.mbpo.config import ModelConfig
from baselines.mbpo.moments import Moments, Range
from baselines.sac.update import Transitions

FIRST_BOUNDS = -10.0, 0.5  # of log-variances, as in PETS; learned from there


class EnsembleParams(NamedTuple):
    """Members' networks, leaves [E, ...]; bounds of log-variances [O], shared by all members."""

    net: Any
    log_var_min: jax.Array
    log_var_max: jax.Array


class Scales(NamedTuple):
    """Moments of inputs [Z + A] and of predicted differences, reward and cost [O].

    `outcomes` is the observed range of next state, reward and cost [O]; None unless
    `ModelConfig.within_range`.
    """

    inputs: Moments
    targets: Moments
    outcomes: Range | None


class Prediction(NamedTuple):
    """Scaled means and log-variances [E, N, O] and logits of termination [E, N]."""

    mean: jax.Array
    log_var: jax.Array
    logit: jax.Array


def soft_bounds(log_var: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """Soft-clip log-variances to learned bounds, keeping their gradient (PETS, appendix A).

    v <- high - softplus(high - v);   v <- low + softplus(v - low)
    """
    log_var = high - jax.nn.softplus(high - log_var)
    return low + jax.nn.softplus(log_var - low)


def targets_of(data: Transitions) -> jax.Array:
    """Targets of the ensemble, unscaled: [..., O]."""
    return _with_reward_and_cost(data.z_next - data.z, data)


def outcomes_of(data: Transitions) -> jax.Array:
    """Next state, reward and cost: [..., O]."""
    return _with_reward_and_cost(data.z_next, data)


def _with_reward_and_cost(z: jax.Array, data: Transitions) -> jax.Array:
    return jnp.concatenate([z, jnp.stack([data.reward, data.cost], -1)], -1)


def inputs_of(data: Transitions) -> jax.Array:
    """Inputs of the ensemble, unscaled: [..., Z + A]."""
    return jnp.concatenate([data.z, data.action], -1)


def fresh_scales(size: int, action_dim: int, within_range: bool) -> Scales:
    """Scales before any data."""
    return Scales(
        running.fresh(size + action_dim),
        running.fresh(size + 2),
        running.no_range(size + 2) if within_range else None,
    )


def update_scales(scales: Scales, data: Transitions) -> Scales:
    """Update the scales with the rows of `data` of positive weight."""
    seen = scales.outcomes
    return Scales(
        running.update(scales.inputs, inputs_of(data), data.weight),
        running.update(scales.targets, targets_of(data), data.weight),
        None if seen is None else running.widen(seen, outcomes_of(data), data.weight),
    )


class Ensemble:
    """The members' common graph and its application; holds no parameters."""

    def __init__(self, config: ModelConfig, size: int, action_dim: int):
        self.config, self.size, self.action_dim = config, size, action_dim
        self.graph = graphs_of(self._build)

    def _build(self, rngs: nnx.Rngs) -> MLP:
        fan_in, out = self.size + self.action_dim, 2 * (self.size + 2) + 1
        return MLP(fan_in, self.config.units, self.config.layers, out, jax.nn.silu, rngs=rngs)

    def init(self, key: jax.Array) -> EnsembleParams:
        """Members with independent initialisations."""
        keys = jax.random.split(key, self.config.members)
        net = jax.vmap(lambda k: params_of(self._build(nnx.Rngs(k))))(keys)
        low, high = (jnp.full(self.size + 2, bound, jnp.float32) for bound in FIRST_BOUNDS)
        return EnsembleParams(net, low, high)

    def predict(self, params: EnsembleParams, inputs: jax.Array) -> Prediction:
        """Predictions of each member of `params` for its scaled inputs [E, N, Z + A]."""
        out = jax.vmap(lambda p, x: nnx.merge(self.graph, p)(x))(params.net, inputs)
        mean, raw, logit = jnp.split(out, [self.size + 2, 2 * (self.size + 2)], -1)
        log_var = soft_bounds(raw, params.log_var_min, params.log_var_max)
        return Prediction(mean, log_var, logit[..., 0])

    def loss(
        self, params: EnsembleParams, scales: Scales, data: Transitions
    ) -> tuple[jax.Array, dict[str, jax.Array]]:
        """Negative log-likelihood of rows [E, N, ...], one batch per member; its parts as metrics.

        mean of w ((m - y)^2 exp(-v) + v)             (PETS, with a diagonal covariance)
        - log p(termination) + bound_weight (sum high - sum low) + weight_decay |kernels|^2
        with w = stop_gradient(exp(beta v))           (beta-NLL, Seitzer et al. 2022)

        The mean excludes entries that have never varied: their variance shrinks to its bound, and
        the smaller it is, the more they dominate the gradient.
        """
        pred = self.predict(params, scales.inputs.scale(inputs_of(data)))
        y = scales.targets.scale(targets_of(data))
        nll = jnp.square(pred.mean - y) * jnp.exp(-pred.log_var) + pred.log_var
        weighted = nll * jax.lax.stop_gradient(jnp.exp(self.config.beta * pred.log_var))
        end = -bernoulli_log_prob(pred.logit, data.terminal)
        weight = data.weight / jnp.maximum(data.weight.sum(-1, keepdims=True), 1.0)
        rows = scales.targets.mean_of_varying(weighted), scales.targets.mean_of_varying(nll), end
        fitted, gaussian, termination = ((weight * x).sum(-1).mean() for x in rows)
        bounds = params.log_var_max.sum() - params.log_var_min.sum()
        kernels = [
            jnp.square(x).sum()
            for path, x in jax.tree_util.tree_leaves_with_path(params.net)
            if "kernel" in jax.tree_util.keystr(path)
        ]
        config = self.config
        decay = config.weight_decay * jnp.stack(kernels).sum() / config.members
        total = fitted + termination + config.bound_weight * bounds + decay
        return total, {"model/likelihood": -gaussian, "model/termination": termination}

    def error(self, params: EnsembleParams, scales: Scales, data: Transitions) -> jax.Array:
        """Error [E] of each member on the same rows [N, ...]: squared error of scaled means plus
        the negative log-likelihood of termination. Ranks members and decides when fits end.
        """
        inputs = scales.inputs.scale(inputs_of(data))
        pred = self.predict(params, jnp.broadcast_to(inputs, (self.config.members, *inputs.shape)))
        y = scales.targets.scale(targets_of(data))
        squared = scales.targets.mean_of_varying(jnp.square(pred.mean - y))
        row = squared - bernoulli_log_prob(pred.logit, data.terminal)
        return (row * data.weight).sum(-1) / jnp.maximum(data.weight.sum(), 1.0)


def choose_elites(error: jax.Array, count: int) -> jax.Array:
    """Indices [count] of the members of lowest error, best first."""
    return jax.lax.top_k(-error, count)[1]


def take_members(params: EnsembleParams, members: jax.Array) -> EnsembleParams:
    """The ensemble of the given members [K]."""
    return params._replace(net=jax.tree.map(lambda x: x[members], params.net))
