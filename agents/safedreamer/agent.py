"""The SafeDreamer agent: a policy (actor or planner) and a learner, both jitted; implements
`agents.api.Agent`.

All variants are values of `SafeDreamerConfig`; choices are resolved when the functions are traced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.api import COST_NOW, EnvSpec, Mode, PyTree
from agents.jitted import JittedAgent
from agents.lagrangian import AugmentedState, imagined_excess, move_multiplier, update_pid
from agents.nn.params import merge
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.learner import AgentState, Learner
from agents.safedreamer.networks import Networks
from agents.safedreamer.plan_outcomes import actor_proposals, make_evaluate
from agents.safedreamer.planner import Evaluate, Plan, plan, warm_start
from agents.safedreamer.planner_config import PlannerConfig
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import Belief, untracked


class Carry(NamedTuple):
    """Policy state per environment.

    latent [E, ...], previous action [E, A], last plan [E, H+1, A], and its kept elites
    [E, k, H+1, A] or None.
    """

    latent: Latent
    action: jax.Array
    plan: jax.Array
    kept: jax.Array | None = None


def _to(tree: PyTree, row: int) -> PyTree:
    return jax.tree.map(lambda x: x[:row], tree)


def _from(tree: PyTree, row: int) -> PyTree:
    return tree if row == 0 else jax.tree.map(lambda x: x[row:], tree)


def _joined(
    actor: tuple[jax.Array, jax.Array], planner: tuple[jax.Array, jax.Array | None]
) -> tuple[jax.Array, jax.Array]:
    """Means and standard deviations [E, A].

    The actor's environments come first, then the planner's (std None: its mean is executed).
    """
    std = jnp.zeros_like(planner[0]) if planner[1] is None else planner[1]
    return jnp.concatenate([actor[0], planner[0]]), jnp.concatenate([actor[1], std])


ACTING = 3  # folded into the policy's key for `Acting`; the policy splits that key in three
# networks and a key -> the networks used to filter, plan and act
Acting = Callable[[Networks, jax.Array], Networks]


class SafeDreamer(JittedAgent):
    """A SafeDreamer variant for one kind of environment; implements `agents.api.Agent`.

    `acting` replaces parts of the networks in `act`, for example by worse ones; the learner is not
    affected.
    """

    def __init__(self, config: SafeDreamerConfig, env: EnvSpec, acting: Acting | None = None):
        self.config, self.acting = config, acting
        self.learner = Learner(config, env)
        super().__init__(env, self.learner.init, self.learner.update)
        # Episode cost in simulator units per unit of predicted cost per agent step.
        self.episode_cost_per_step = env.episode_agent_steps * (
            env.action_repeat if config.model.counts_hazards else 1
        )
        as_released = config.planner.cost_scale == "release"
        episode_cost = env.episode_env_steps if as_released else self.episode_cost_per_step
        self.cost_scale = episode_cost / config.planner.horizon
        # A cost of c per agent step yields a discounted return of c / (1 - discount).
        self.return_scale = self.episode_cost_per_step * (1.0 - config.imagination.cost_discount)
        # Jitted separately from `_act`, so that the latter's compilation, and thus its rounding, is
        # unchanged.
        self._cost_now = jax.jit(
            lambda params, latent: merge(self.learner.graphs.model, params).cost(untracked(latent))
        )
        self._end_episode = jax.jit(partial(update_pid, config.pid))
        self._end_episode_augmented = jax.jit(self._end_episode_augmented_impl)

    def networks(self, params: Networks) -> Networks:
        """Modules around parameters, for use inside a traced function."""
        return merge(self.learner.graphs, params)

    def acting_networks(self, params: Networks, key: jax.Array) -> Networks:
        """The modules that `act` uses: `networks`, modified by `acting`, if set, with a key of its
        own.
        """
        nets = self.networks(params)
        return nets if self.acting is None else self.acting(nets, jax.random.fold_in(key, ACTING))

    def init_carry(self, num_envs: int) -> Carry:
        """Zeros; every row is replaced at its episode's first step."""
        model, rows = self.config.model, self.config.planner.horizon + 1
        stoch = jnp.zeros((num_envs, model.stoch, model.classes))
        actions, kept = self.env.action_dim, self.config.planner.kept_elites
        return Carry(
            Latent(jnp.zeros((num_envs, model.deter)), stoch, stoch),
            jnp.zeros((num_envs, actions)),
            jnp.zeros((num_envs, rows, actions)),
            jnp.zeros((num_envs, kept, rows, actions)) if kept else None,
        )

    # Policy

    def act(
        self,
        state: AgentState,
        carry: Carry,
        obs: Mapping[str, np.ndarray],
        is_first: np.ndarray,
        key: jax.Array,
        mode: Mode,
    ) -> tuple[jax.Array, Carry, dict[str, jax.Array]]:
        """As `JittedAgent.act`; agents that learn costs add COST_NOW in training."""
        action, carry, info = super().act(state, carry, obs, is_first, key, mode)
        if mode == "train" and self.config.model.cost_source == "head":
            info = info | {COST_NOW: self._cost_now(state.params.model, carry.latent)}
        return action, carry, info

    def _acting_state(self, state: AgentState) -> tuple[Networks, jax.Array]:
        return state.params, state.pid.multiplier

    def _act_impl(self, params, multiplier, carry, obs, is_first, key, mode):
        nets = self.acting_networks(params, key)
        latent_key, plan_key, action_key = jax.random.split(key, 3)
        rssm = nets.model.rssm
        embed = rssm.embed_part(nets.model.encoder(obs))
        latent = rssm.obs_step(
            carry.latent,
            carry.action,
            embed,
            is_first,
            rssm.initial(is_first.shape[0]),
            rssm.noise(latent_key, is_first.shape),
        )
        belief = nets.model.belief(latent, obs)
        planner, training = self.config.planner, mode == "train"
        by_actor = int(planner.actor_share * is_first.shape[0]) if training else 0
        if self.config.act_with == "planner" and by_actor < is_first.shape[0]:
            warm = jax.tree.map(partial(warm_start, is_first=is_first), (carry.plan, carry.kept))
            planned, (start_mean, kept) = _from((belief, warm), by_actor)
            result = self.plan(nets, planned, start_mean, multiplier, plan_key, kept)
            mean, std = result.mean[:, 0], result.std[:, 0]
            std = std if training and planner.action == "sample" else None
            info = {
                f"plan/{k}": getattr(result, k) for k in ("safe_fraction", "ret", "cost", "spread")
            }
            info["plan/none_safe"] = (result.safe_fraction == 0.0).astype(jnp.float32)
            plan_mean, kept = result.mean, None if carry.kept is None else result.kept
            if by_actor:
                mean, std = _joined(nets.actor(nets.model.view(_to(belief, by_actor))), (mean, std))
                plan_mean, kept = jax.tree.map(
                    lambda old, new: jnp.concatenate([old[:by_actor], new]),
                    (carry.plan, carry.kept),
                    (plan_mean, kept),
                )
                info = {
                    name: jnp.concatenate([jnp.full(by_actor, x.mean()), x])
                    for name, x in info.items()
                }
        else:
            mean, std = nets.actor(nets.model.view(belief))
            info, plan_mean, kept = {"actor/std": std.mean(-1)}, carry.plan, carry.kept
            std = std if training or self.config.actor.eval_action == "sample" else None
        noise = 0.0 if std is None else std * jax.random.normal(action_key, mean.shape)
        action = jnp.clip(mean + noise, -1.0, 1.0)
        return action, Carry(latent, action, plan_mean, kept), info

    def evaluation(self, nets: Networks, belief: Belief, planner: PlannerConfig) -> Evaluate:
        """Evaluation in the world model of plans from beliefs [E, ...], under these settings."""
        return make_evaluate(
            nets,
            belief,
            self.config.imagination,
            planner,
            cost_scale=self.cost_scale,
            return_scale=self.return_scale,
        )

    def plan(
        self,
        nets: Networks,
        belief: Belief,
        start_mean: jax.Array,
        multiplier: jax.Array,
        key: jax.Array,
        kept: jax.Array | None = None,
    ) -> Plan:
        """Plan from beliefs [E, ...], warm-started at start_mean [E, H+1, A].

        The elites kept from the last plan [E, k, H+1, A] join the candidates.
        """
        config = self.config.planner
        proposal_key, plan_key = jax.random.split(key)
        evaluate = self.evaluation(nets, belief, config)
        envs, rows, actions = start_mean.shape
        proposals = jnp.zeros((envs, 0, rows, actions))
        if config.proposals:
            proposals = actor_proposals(
                nets.model, nets.actor, belief, config.proposals, config.horizon, proposal_key
            )
        limit = max(0.0, self.config.cost_limit - config.cost_margin)
        return plan(config, evaluate, start_mean, proposals, limit, multiplier, plan_key, kept)

    # Learning

    def end_episode(self, state: AgentState, cost: float, agent_steps: int) -> AgentState:
        """Update the multiplier with the cost of a finished training episode.

        Does nothing in variants whose multiplier is not driven by episodes.
        """
        if self.config.uses_pid:
            state = state._replace(
                pid=self._end_episode(state.pid, cost, self.config.cost_limit, agent_steps)
            )
        if (
            self.config.actor_multiplier == "augmented"
            and self.config.augmented.driven_by == "episode"
        ):
            augmented = self._end_episode_augmented(
                state.augmented, state.updates, cost, agent_steps
            )
            state = state._replace(augmented=augmented)
        return state

    def _end_episode_augmented_impl(
        self, augmented: AugmentedState, updates: jax.Array, cost: jax.Array, agent_steps: jax.Array
    ) -> AugmentedState:
        """Update the multiplier by one step that equals one per update of an episode, each with the
        episode's excess.
        """
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
