"""The agent's learner: its update is a pure function of state, replay batch and key.

Order of one update: ensemble -> rollouts from the batch's states into the buffer of imagined
transitions -> soft actor-critic on real and imagined ones (baselines.sac.update), with expanded
targets if configured. Each part exists only if its setting enables it; without any, the update
equals that of SAC bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec
from agents.checks import count_nonfinite
from agents.lagrangian import PIDState, init_pid, update_pid
from agents.nn.params import copied, graphs_of, params_of
from agents.optimizers import init_optimizers
from baselines.mbpo import ring
from baselines.mbpo.config import MBPOConfig
from baselines.mbpo.data import mix, real_transitions, used_keys
from baselines.mbpo.ensemble import Ensemble, EnsembleParams, choose_elites, take_members
from baselines.mbpo.expansion import expand
from baselines.mbpo.fit import Fitter, ModelState
from baselines.mbpo.ring import Ring
from baselines.mbpo.rollouts import RolloutNoise, Rollouts, draw_noise, rollout, rollout_length
from baselines.sac.actor_critic import build
from baselines.sac.multiplier import init_raw, update_raw
from baselines.sac.update import (
    ActorCriticLearner,
    Targets,
    Transitions,
    sac_optimizers,
    weighted_mean,
    zero_transition,
)


class Learned(NamedTuple):
    """Everything with an optimiser: parameters, optimisers or their states.

    `model` is None if unused.
    """

    actor: Any
    critic: Any
    cost_critic: Any
    log_temperature: Any
    model: Any


class AgentState(NamedTuple):
    """Everything that learning changes; a checkpoint of this pytree is complete.

    `dual` determines the multiplier: its raw value or the controller's state. `model` and
    `imagined` are None if unused.
    """

    params: Learned
    target_critic: Any
    target_cost_critic: Any
    optimizers: Learned
    dual: jax.Array | PIDState
    multiplier: jax.Array
    model: ModelState | None
    imagined: Ring | None
    updates: jax.Array


class Learner(ActorCriticLearner):
    """Graphs, optimisers and the update of one configuration in one kind of environment.

    Stateless; see `AgentState`. Raises ValueError for observations with images.
    """

    config: MBPOConfig

    def __init__(self, config: MBPOConfig, env: EnvSpec):
        self.config, self.env = config, env
        self.obs_names = used_keys(env.obs)
        self.size = sum(env.obs[name].shape[0] for name in self.obs_names)
        self.build = partial(build, config.sac, self.size, env, config.cost_limit)
        self.graphs = graphs_of(self.build)
        self.ensemble, self.fitter = None, None
        if config.uses_model:
            self.ensemble = Ensemble(config.model, self.size, env.action_dim)
            self.fitter = Fitter(config.model, self.ensemble)
        model = None if self.fitter is None else self.fitter.optimizer
        self.optimizers = Learned(*sac_optimizers(config.sac), model=model)

    def init(self, key: jax.Array) -> AgentState:
        """Initial learner state; targets start as copies.

        Actor and critics do not depend on whether there is a model.
        """
        params = Learned(
            *params_of(self.build(nnx.Rngs(key))),
            log_temperature=jnp.log(jnp.float32(self.config.sac.temperature)),
            model=None if self.ensemble is None else self.ensemble.init(jax.random.fold_in(key, 1)),
        )
        model = None if self.fitter is None else self.fitter.fresh()
        dual, multiplier = self._first_dual()
        row, branches = zero_transition(self.size, self.env.action_dim), self.config.rollout
        imagined = ring.empty(branches.capacity, row) if branches.longest else None
        return AgentState(
            params,
            copied(params.critic),
            copied(params.cost_critic),
            init_optimizers(self.optimizers, params),
            dual,
            multiplier,
            model,
            imagined,
            jnp.zeros((), jnp.int32),
        )

    def _first_dual(self) -> tuple[jax.Array | PIDState, jax.Array]:
        """Dual state and multiplier before the first episode."""
        if self.config.dual == "pid":
            return init_pid(self.config.pid), jnp.zeros(())
        raw = init_raw(self.config.multiplier.init)
        return raw, jax.nn.softplus(raw) if self.config.constrained else jnp.zeros(())

    def end_episode(
        self, state: AgentState, cost: jax.Array | float, agent_steps: jax.Array | int
    ) -> AgentState:
        """Update the multiplier of a constrained method with the cost of a training episode.

        Episodes of the prefill, before any update, are ignored.
        """
        config = self.config
        if isinstance(state.dual, PIDState):
            dual = update_pid(config.pid, state.dual, cost, config.cost_limit, agent_steps)
            multiplier = dual.multiplier
        else:
            how = config.multiplier
            dual = update_raw(
                state.dual, cost, config.cost_limit, how.learning_rate, how.max_excess
            )
            multiplier = jax.nn.softplus(dual)
        begun = state.updates > 0
        dual = jax.tree.map(lambda new, old: jnp.where(begun, new, old), dual, state.dual)
        return state._replace(dual=dual, multiplier=jnp.where(begun, multiplier, state.multiplier))

    def update(
        self, state: AgentState, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One update on a replay batch [B, T, ...]: the next state and metrics (scalars)."""
        model_key, rollout_key, mix_key, sac_key = jax.random.split(key, 4)
        data, make_targets = real_transitions(batch, self.obs_names), None
        metrics: dict[str, jax.Array] = {}
        if self.config.uses_model:
            state, metrics = self._fit(state, data, model_key)
        if state.imagined is not None:
            imagined, found = self._branch(state, state.imagined, data, rollout_key)
            state, metrics = state._replace(imagined=imagined), metrics | found
            data = mix(data, imagined, self.config.rollout.real_ratio, mix_key)
        if self.config.expansion.length:
            make_targets = self.expanded_targets
        state, sac_metrics = self.sac_step(state, data, sac_key, make_targets=make_targets)
        metrics |= sac_metrics | {"multiplier": state.multiplier}
        metrics["nonfinite"] = count_nonfinite(metrics)
        return state._replace(updates=state.updates + 1), metrics

    def _fit(self, state: AgentState, data: Transitions, key: jax.Array):
        """Fit the ensemble to replayed transitions."""
        assert self.fitter is not None and state.model is not None
        params, opt, model, metrics = self.fitter(
            state.params.model, state.optimizers.model, state.model, data, state.updates, key
        )
        state = state._replace(
            params=state.params._replace(model=params),
            optimizers=state.optimizers._replace(model=opt),
            model=model,
        )
        return state, metrics

    def elites(self, state: AgentState) -> EnsembleParams:
        """The members of lowest error, the only ones used to predict."""
        assert state.model is not None
        best = choose_elites(state.model.error, self.config.model.elites)
        return take_members(state.params.model, best)

    def rollout_noise(self, key: jax.Array, steps: int, rows: int) -> RolloutNoise:
        """Noise of rollouts [H, N, ...]; that of states is zero if `model.sampled` is off."""
        noise = draw_noise(
            key, steps, rows, self.size, self.env.action_dim, self.config.model.elites
        )
        if self.config.model.sampled:
            return noise
        return noise._replace(state=jnp.zeros_like(noise.state))

    def imagine(
        self, state: AgentState, start: jax.Array, alive: jax.Array, steps: int, key: jax.Array
    ) -> Rollouts:
        """Roll out the policy in the elites from states [N, Z]."""
        assert self.ensemble is not None and state.model is not None
        noise = self.rollout_noise(key, steps, start.shape[0])
        return rollout(
            self.ensemble,
            self.elites(state),
            state.model.scales,
            nnx.merge(self.graphs.actor, state.params.actor),
            start,
            alive,
            noise,
        )

    def _branch(self, state: AgentState, imagined: Ring, data: Transitions, key: jax.Array):
        """Add this update's rollouts to the buffer; returns the buffer and metrics.

        They start from the first states of `data`, the first B of which are of different sequences.

        Raises ValueError (when traced) if a batch has fewer transitions than `rollout.starts`.
        """
        config, rows = self.config.rollout, data.weight.shape[0]
        if config.starts > rows:
            raise ValueError(
                f"rollout.starts={config.starts} exceeds the {rows} transitions of a batch"
            )
        start, alive = data.z[: config.starts], data.weight[: config.starts]
        steps = self.imagine(state, start, alive, config.longest, key).data
        ready = state.updates >= self.config.model.warmup
        length = jnp.where(ready, rollout_length(config, state.updates), 0)
        within = (jnp.arange(config.longest) < length)[:, None] * steps.weight
        steps = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), steps._replace(weight=within))
        imagined = ring.insert(imagined, steps, steps.weight > 0)
        return imagined, {
            "rollout/length": length.astype(jnp.float32),
            "rollout/rows": imagined.size.astype(jnp.float32),
            "rollout/reward": weighted_mean(steps.reward, steps.weight),
            "rollout/cost": weighted_mean(steps.cost, steps.weight),
        }

    def expanded_targets(
        self, state: AgentState, data: Transitions, key: jax.Array, cost_key: jax.Array
    ) -> Targets:
        """Targets expanded over imagined steps; one-step targets until the model has warmed up."""
        expansion, sac = self.config.expansion, self.config.sac
        plain = self.one_step_targets(state, data, key, cost_key)
        alive, steps_key = data.weight * (1.0 - data.terminal), jax.random.fold_in(key, 1)
        imagined = self.imagine(state, data.z_next, alive, expansion.length, steps_key)
        values = self.next_values(state, imagined.last, key, cost_key)
        temperature = jnp.exp(state.params.log_temperature)
        discounts = sac.discount, sac.cost_discount
        targets = expand(data, imagined, values, temperature, discounts, expansion.td_k)
        ready, rows = state.updates >= self.config.model.warmup, data.weight.shape[0]
        real = jnp.arange(targets.weight.shape[0]) < rows
        more = targets.weight.shape[0] - rows
        return targets._replace(
            reward=jnp.where(ready, targets.reward, jnp.pad(plain.reward, (0, more))),
            cost=jnp.where(ready, targets.cost, jnp.pad(plain.cost, (0, more))),
            weight=targets.weight * (real | ready),
        )
