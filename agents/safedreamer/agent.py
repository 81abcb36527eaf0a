"""The SafeDreamer agent: its policy, by actor or planner, beside its learner, both jitted, behind `agents.api.Agent`.

All variants are values of `SafeDreamerConfig`; choices are resolved when the functions are traced.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.api import EnvSpec, Mode
from agents.lagrangian import AugmentedState, imagined_excess, move_multiplier, update_pid
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.learner import AgentState, Learner
from agents.safedreamer.networks import Networks, graphs, init_params, merge
from agents.safedreamer.plan_outcomes import actor_proposals, make_evaluate
from agents.safedreamer.planner import Plan, plan, warm_start
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import Belief


class Carry(NamedTuple):
    """Policy memory per environment: latent [E, ...], previous action [E, A], last plan [E, H+1, A]."""

    latent: Latent
    action: jax.Array
    plan: jax.Array


class SafeDreamer:
    """A SafeDreamer variant for one kind of environment; implements `agents.api.Agent`."""

    pretrain_updates = 0

    def __init__(self, config: SafeDreamerConfig, env: EnvSpec):
        self.config = config
        self.env = env
        self.graphs = graphs(config, env)
        self.learner = Learner(config, self.graphs, env.obs)
        self._init = jax.jit(lambda key: self.learner.fresh_state(init_params(config, env, key)))
        steps = env.episode_env_steps if config.planner.cost_scale == "release" else env.episode_agent_steps
        self.cost_scale = steps / config.planner.horizon
        self._act = jax.jit(self._act_impl, static_argnames="mode")
        self._update = jax.jit(self.learner.update, donate_argnums=0)
        # Episode cost, as the simulator counts it, per unit of predicted cost per agent step.
        self.episode_cost_per_step = env.episode_agent_steps * (env.action_repeat if config.model.counts_hazards else 1)
        self._end_episode = jax.jit(partial(update_pid, config.pid))
        self._end_episode_augmented = jax.jit(self._end_episode_augmented_impl)

    def networks(self, params: Networks) -> Networks:
        """Modules around parameters, for use inside a traced function."""
        return merge(self.graphs, params)

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
        info, plan_mean, training = {}, carry.plan, mode == "train"
        if self.config.act_with == "planner":
            result = self.plan(nets, belief, warm_start(carry.plan, is_first), multiplier, plan_key)
            plan_mean = result.mean
            mean, std = result.mean[:, 0], result.std[:, 0]
            std = std if training and self.config.planner.action == "sample" else None
            if training and self.config.planner.actor_share > 0.0:
                mean, std = self._shared_with_actor(nets, belief, mean, std)
            info = {f"plan/{k}": getattr(result, k) for k in ("safe_fraction", "ret", "cost", "spread")}
            info["plan/none_safe"] = (result.safe_fraction == 0.0).astype(jnp.float32)
        else:
            mean, std = nets.actor(nets.model.view(belief))
            info = {"actor/std": std.mean(-1)}
            std = std if training or self.config.actor.eval_action == "sample" else None
        noise = 0.0 if std is None else std * jax.random.normal(action_key, mean.shape)
        action = jnp.clip(mean + noise, -1.0, 1.0)
        return action, Carry(latent, action, plan_mean), info

    def _shared_with_actor(
        self, nets: Networks, belief: Belief, mean: jax.Array, std: jax.Array | None
    ) -> tuple[jax.Array, jax.Array]:
        """The planner's Gaussian [E, A] (std None: its mean), with the actor's in the first `actor_share` of the environments."""
        envs = mean.shape[0]
        by_actor = jnp.arange(envs)[:, None] < int(self.config.planner.actor_share * envs)
        actor_mean, actor_std = nets.actor(nets.model.view(belief))
        return jnp.where(by_actor, actor_mean, mean), jnp.where(by_actor, actor_std, 0.0 if std is None else std)

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
            bootstrap_costs=config.cost_critic,
            pessimism=config.pessimism,
        )
        envs, rows, actions = start_mean.shape
        proposals = jnp.zeros((envs, 0, rows, actions))
        if config.proposals:
            proposals = actor_proposals(nets.model, nets.actor, belief, config.proposals, config.horizon, proposal_key)
        return plan(config, evaluate, start_mean, proposals, self.config.cost_limit, multiplier, plan_key)

    # Learning

    def end_episode(self, state: AgentState, cost: float, agent_steps: int) -> AgentState:
        """Move the multiplier by the cost of a finished training episode, where episodes drive it; other variants ignore it."""
        if self.config.uses_pid:
            state = state._replace(pid=self._end_episode(state.pid, cost, self.config.cost_limit, agent_steps))
        if self.config.actor_multiplier == "augmented" and self.config.augmented.driven_by == "episode":
            augmented = self._end_episode_augmented(state.augmented, state.updates, cost, agent_steps)
            state = state._replace(augmented=augmented)
        return state

    def _end_episode_augmented_impl(
        self, augmented: AugmentedState, updates: jax.Array, cost: jax.Array, agent_steps: jax.Array
    ) -> AugmentedState:
        """One step of the multiplier worth as many as an episode has updates, each with the episode's excess."""
        imagination = self.config.imagination
        excess = imagined_excess(
            cost,
            self.config.cost_limit,
            episode_length=self.episode_cost_per_step,
            discount_horizon=imagination.horizon_of_costs,
            summed=imagination.horizon if self.config.pessimistic else 1,
        )
        per_episode = updates / agent_steps * self.env.episode_agent_steps
        return move_multiplier(augmented, per_episode * excess)

    def update(
        self, state: AgentState, batch: Mapping[str, np.ndarray], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One learner update on a replay batch [B, T, ...]; donates `state`."""
        return self._update(state, dict(batch), key)
