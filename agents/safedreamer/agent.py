"""The SafeDreamer agent: networks, jitted policy and jitted update behind `agents.api.Agent`.

All variants are values of `SafeDreamerConfig`; choices are resolved when the functions are traced.
Order of one update (spec section 3): world model -> actor on an imagined batch -> reward critic -> cost critic on the same batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from agents.api import EnvSpec, Mode
from agents.lagrangian import AugmentedState, PIDState, init_augmented, init_pid, update_augmented, update_pid
from agents.returns import ReturnNormState, discount_weights, init_return_norm, update_return_norm
from agents.safedreamer.actor_critic import (
    Actor,
    Critic,
    actor_loss,
    critic_loss,
    imagine,
    imagined_returns,
    update_slow,
)
from agents.safedreamer.config import OptimizerConfig, SafeDreamerConfig
from agents.safedreamer.plan_outcomes import actor_proposals, make_evaluate
from agents.safedreamer.planner import Plan, plan, warm_start
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import Belief
from agents.safedreamer.world_model import ModelOutput, WorldModel, model_loss

Params = dict[str, Any]


class Networks(NamedTuple):
    """One entry per network; the cost critic is None (an empty pytree) without predicted costs."""

    model: Any
    actor: Any
    critic: Any
    cost_critic: Any


class AgentState(NamedTuple):
    """All that learning changes: a checkpoint of this pytree forgets nothing."""

    params: Networks
    slow_critic: Params
    slow_cost_critic: Params | None
    optimizers: Networks
    return_norm: ReturnNormState
    augmented: AugmentedState
    pid: PIDState
    updates: jax.Array


class Carry(NamedTuple):
    """Policy memory per environment: latent [E, ...], previous action [E, A], last plan [E, H+1, A]."""

    latent: Latent
    action: jax.Array
    plan: jax.Array


def make_optimizer(config: OptimizerConfig) -> optax.GradientTransformation:
    """Global-norm clip, then Adam."""
    return optax.chain(optax.clip_by_global_norm(config.clip), optax.adam(config.learning_rate, eps=config.eps))


class SafeDreamer:
    """A SafeDreamer variant for one kind of environment; implements `agents.api.Agent`."""

    def __init__(self, config: SafeDreamerConfig, env: EnvSpec):
        self.config = config
        self.env = env
        dtype = jnp.dtype(config.dtype)
        # Shapes only: the graph definitions are static, and `init` draws the parameters.
        built = nnx.eval_shape(lambda: self._build(nnx.Rngs(0), dtype))
        self.graphs = Networks(*(None if net is None else nnx.split(net)[0] for net in built))
        self._init = jax.jit(lambda key: self._initial_state(self._build(nnx.Rngs(key), dtype)))
        self.optimizers = Networks(
            make_optimizer(config.model.optimizer),
            make_optimizer(config.actor.optimizer),
            make_optimizer(config.critic.optimizer),
            make_optimizer(config.critic.optimizer),
        )
        steps = env.episode_env_steps if config.planner.cost_scale == "release" else env.episode_agent_steps
        self.cost_scale = steps / config.planner.horizon
        self._act = jax.jit(self._act_impl, static_argnames="mode")
        self._update = jax.jit(self.update_function, donate_argnums=0)
        self._end_episode = jax.jit(partial(update_pid, config.pid))

    # Construction

    def _build(self, rngs: nnx.Rngs, dtype: jnp.dtype) -> Networks:
        config = self.config
        model = WorldModel(config.model, self.env, rngs=rngs, dtype=dtype)
        actor = Actor(model.view_dim, self.env.action_dim, config.actor, config.model, rngs=rngs, dtype=dtype)
        critic = Critic(model.view_dim, config.model, rngs=rngs, dtype=dtype)
        cost_critic = Critic(model.view_dim, config.model, rngs=rngs, dtype=dtype) if config.use_cost else None
        return Networks(model, actor, critic, cost_critic)

    def _initial_state(self, nets: Networks) -> AgentState:
        return self.state_from_params(Networks(*(None if n is None else nnx.to_pure_dict(nnx.split(n)[1]) for n in nets)))

    def state_from_params(self, params: Networks) -> AgentState:
        """A fresh learner around given parameters; slow critics start as copies."""
        optimizers = Networks(*(None if p is None else o.init(p) for o, p in zip(self.optimizers, params, strict=True)))
        copy = partial(jax.tree.map, jnp.copy)  # donated buffers must not be shared
        return AgentState(
            params,
            copy(params.critic),
            copy(params.cost_critic),
            optimizers,
            init_return_norm(),
            init_augmented(self.config.augmented),
            init_pid(self.config.pid),
            jnp.zeros((), jnp.int32),
        )

    def networks(self, params: Networks) -> Networks:
        """Modules around parameters, for use inside a traced function."""
        return Networks(*(None if p is None else nnx.merge(g, p) for g, p in zip(self.graphs, params, strict=True)))

    def init(self, seed: int) -> AgentState:
        """The learner's initial state."""
        return self._init(jax.random.key(seed))

    def init_carry(self, num_envs: int) -> Carry:
        """Zeros; every row is replaced at its episode's first step."""
        model, rows = self.config.model, self.config.planner.horizon + 1
        stoch = jnp.zeros((num_envs, model.stoch, model.classes))
        action = jnp.zeros((num_envs, self.env.action_dim))
        return Carry(
            Latent(jnp.zeros((num_envs, model.deter)), stoch, stoch), action, jnp.zeros((num_envs, rows, self.env.action_dim))
        )

    # Policy

    def act(
        self, state: AgentState, carry: Carry, obs: Mapping[str, np.ndarray], is_first: np.ndarray, key: jax.Array, mode: Mode
    ) -> tuple[jax.Array, Carry, dict[str, jax.Array]]:
        """Actions [E, A] for observations [E, ...]; see `agents.api.Agent.act`."""
        obs = {name: obs[name] for name in self.env.obs}
        return self._act(state.params, state.pid.multiplier, carry, obs, is_first, key, mode=mode)

    def _act_impl(self, params, multiplier, carry, obs, is_first, key, mode):
        nets = self.networks(params)
        latent_key, plan_key, action_key = jax.random.split(key, 3)
        rssm = nets.model.rssm
        embed = rssm.embed_part(nets.model.encoder(obs))
        latent = rssm.obs_step(
            carry.latent, carry.action, embed, is_first, rssm.initial(is_first.shape[0]), rssm.noise(latent_key, is_first.shape)
        )
        belief = nets.model.belief(latent, obs)
        info, plan_mean = {}, carry.plan
        if self.config.act_with == "planner":
            result = self.plan(nets, belief, warm_start(carry.plan, is_first), multiplier, plan_key)
            plan_mean = result.mean
            mean, std = result.mean[:, 0], result.std[:, 0]
            stochastic = mode == "train" and self.config.planner.action == "sample"
            info = {f"plan/{k}": getattr(result, k) for k in ("safe_fraction", "ret", "cost", "spread")}
        else:
            mean, std = nets.actor(nets.model.view(belief))
            stochastic = mode == "train" or self.config.actor.eval_action == "sample"
            info = {"actor/std": std.mean(-1)}
        noise = std * jax.random.normal(action_key, mean.shape) if stochastic else 0.0
        action = jnp.clip(mean + noise, -1.0, 1.0)
        return action, Carry(latent, action, plan_mean), info

    def plan(self, nets: Networks, belief: Belief, start_mean: jax.Array, multiplier: jax.Array, key: jax.Array) -> Plan:
        """One planner call for beliefs [E, ...] warm-started at start_mean [E, H+1, A]."""
        config, imagination = self.config.planner, self.config.imagination
        proposal_key, plan_key = jax.random.split(key)
        evaluate = make_evaluate(
            nets.model,
            nets.critic,
            nets.cost_critic,
            belief,
            discount=imagination.discount,
            cost_discount=imagination.cost_discount,
            lam=imagination.lam,
            cost_lam=imagination.lam_of_costs,
            cost_scale=self.cost_scale,
            sample=config.latents == "sample",
        )
        envs, rows, actions = start_mean.shape
        proposals = jnp.zeros((envs, 0, rows, actions))
        if config.proposals:
            proposals = actor_proposals(nets.model, nets.actor, belief, config.proposals, config.horizon, proposal_key)
        return plan(config, evaluate, start_mean, proposals, self.config.cost_limit, multiplier, plan_key)

    # Learning

    def end_episode(self, state: AgentState, cost: float, agent_steps: int) -> AgentState:
        """PID step on the cost of a finished training episode; other variants ignore it."""
        if self.config.multiplier != "pid":
            return state
        return state._replace(pid=self._end_episode(state.pid, cost, self.config.cost_limit, agent_steps))

    def update(
        self, state: AgentState, batch: Mapping[str, np.ndarray], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One learner update on a replay batch [B, T, ...]; donates `state`."""
        return self._update(state, dict(batch), key)

    def update_function(self, state: AgentState, batch: Mapping[str, jax.Array], key: jax.Array):
        """What `update` jits: a pure function, for tracing and counting."""
        model_key, start_key, imagine_key = jax.random.split(key, 3)
        params, opt = state.params, state.optimizers
        metrics: dict[str, jax.Array] = {}

        def loss_model(p):
            return model_loss(nnx.merge(self.graphs.model, p), batch, model_key)

        grads, output = jax.grad(loss_model, has_aux=True)(params.model)
        metrics |= output.metrics | {"model/grad_norm": optax.tree.norm(grads)}
        new_model, opt_model = self._step("model", grads, opt.model, params.model)
        params = params._replace(model=new_model)

        start, start_cont = self._starts(output, batch, start_key)
        ac_grads, aux = self._actor_gradients(params, state, start, start_cont, imagine_key)
        new_actor, opt_actor = self._step("actor", ac_grads, opt.actor, params.actor)
        metrics |= aux["metrics"]

        new_critic, opt_critic, slow, loss = self._critic_step("critic", params, state, aux["view"], aux["ret"], aux["weight"])
        metrics["critic/loss"] = loss
        new_cost, opt_cost, slow_cost = None, None, None
        if self.config.use_cost:
            new_cost, opt_cost, slow_cost, loss = self._critic_step(
                "cost_critic", params, state, aux["view"], aux["cost_ret"], aux["weight"]
            )
            metrics["cost_critic/loss"] = loss
        state = AgentState(
            Networks(new_model, new_actor, new_critic, new_cost),
            slow,
            slow_cost,
            Networks(opt_model, opt_actor, opt_critic, opt_cost),
            aux["norm"],
            aux["augmented"],
            state.pid,
            state.updates + 1,
        )
        if self.config.multiplier == "pid":
            metrics["pid/multiplier"] = state.pid.multiplier
        return state, metrics

    def _step(self, name: str, grads: Any, opt_state: Any, params: Any) -> tuple[Any, Any]:
        updates, opt_state = getattr(self.optimizers, name).update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def _starts(self, output: ModelOutput, batch: Mapping[str, jax.Array], key: jax.Array) -> tuple[Belief, jax.Array]:
        """Posterior states [N, ...] from which imagination starts, and 1 - is_terminal there."""
        cont = 1.0 - batch["is_terminal"].reshape(-1).astype(jnp.float32)
        flat = jax.tree.map(lambda x: jax.lax.stop_gradient(x.reshape(cont.size, *x.shape[2:])), output.belief)
        count = self.config.imagination.starts
        if not 0 < count < cont.shape[0]:
            return flat, cont
        chosen = jax.random.choice(key, cont.shape[0], (count,), replace=False)
        return jax.tree.map(lambda x: x[chosen], (flat, cont))

    def _actor_gradients(self, params: Networks, state: AgentState, start: Belief, start_cont: jax.Array, key: jax.Array):
        """Gradients of the actor and what the critics need of the imagined batch."""
        config, imagination = self.config, self.config.imagination
        constrained = config.multiplier == "augmented"

        def loss(actor_params):
            nets = self.networks(params._replace(actor=actor_params))
            traj = imagine(nets.model, nets.actor, start, start_cont, imagination.horizon, key)
            rewards, costs = imagined_returns(nets.model, nets.critic, nets.cost_critic, traj, imagination)
            norm = update_return_norm(state.return_norm, rewards.ret, decay=imagination.norm_decay)
            terms = actor_loss(
                nets.actor,
                traj,
                rewards,
                costs,
                norm,
                state.augmented if constrained else None,
                discount=imagination.discount,
                cost_limit=config.cost_limit,
                pessimistic=config.pessimistic,
            )
            return terms.loss, (traj, rewards, costs, norm, terms)

        grads, (traj, rewards, costs, norm, terms) = jax.grad(loss, has_aux=True)(params.actor)
        augmented = update_augmented(config.augmented, state.augmented, terms.excess) if constrained else state.augmented
        metrics = {
            "actor/loss": terms.loss,
            "actor/entropy": terms.entropy.mean(),
            "actor/grad_norm": optax.tree.norm(grads),
            "imagined/reward": rewards.reward.mean(),
            "imagined/return": rewards.ret.mean(),
            "imagined/value": rewards.value.mean(),
            "imagined/return_scale": norm.high - norm.low,
        }
        if costs is not None:
            metrics |= {"imagined/cost": costs.reward.mean(), "imagined/cost_return": costs.ret.mean()}
        if constrained:
            metrics |= {
                "augmented/multiplier": augmented.multiplier,
                "augmented/penalty_coefficient": augmented.penalty,
                "augmented/penalty": terms.penalty,
                "augmented/excess": terms.excess,
            }
        aux = {
            "view": traj.view[:-1],
            "weight": discount_weights(traj.cont, imagination.discount)[:-1],
            "ret": rewards.ret,
            "cost_ret": None if costs is None else costs.ret,
            "norm": norm,
            "augmented": augmented,
            "metrics": metrics,
        }
        return grads, aux

    def _critic_step(self, name: str, params: Networks, state: AgentState, view, target, weight):
        """Update one critic and its slow copy: parameters, optimiser state, slow copy, loss."""
        graph, slow = getattr(self.graphs, name), getattr(state, f"slow_{name}")
        current = getattr(params, name)

        def loss(p):
            return critic_loss(nnx.merge(graph, p), nnx.merge(graph, slow), view, target, weight, self.config.critic.slow_scale)

        value, grads = jax.value_and_grad(loss)(current)
        new, opt_state = self._step(name, grads, getattr(state.optimizers, name), current)
        return new, opt_state, update_slow(slow, new, state.updates, self.config.critic.slow_fraction), value
