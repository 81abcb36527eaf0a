"""The Safe SLAC agent: a policy on filtered latents and a learner, both jitted; implements
`agents.api.Agent`.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec, PyTree
from agents.jitted import JittedAgent
from baselines.sac.actor_critic import sample_action
from baselines.sac.multiplier import update_raw
from baselines.safe_slac.config import SafeSLACConfig
from baselines.safe_slac.learner import AgentState, Learner, rate_factor


class Carry(NamedTuple):
    """Policy state per environment.

    Upper latent [E, z2] and previous action [E, A], from which filtering continues.
    """

    z2: jax.Array
    action: jax.Array


class SafeSLAC(JittedAgent):
    """Safe SLAC for one kind of environment; implements `agents.api.Agent`.

    Raises ValueError for unsupported observations.
    """

    def __init__(self, config: SafeSLACConfig, env: EnvSpec):
        self.config, self.pretrain_updates = config, config.pretrain_updates
        self.learner = Learner(config, env)
        super().__init__(env, self.learner.init, self.learner.update, self.learner.obs_names)
        self._end_episode = jax.jit(self._end_episode_impl)

    def init_carry(self, num_envs: int) -> Carry:
        """Zeros; every row is replaced at its episode's first step."""
        return Carry(
            jnp.zeros((num_envs, self.config.latent.z2)), jnp.zeros((num_envs, self.env.action_dim))
        )

    def _acting_state(self, state: AgentState) -> tuple[PyTree, ...]:
        return state.params.latent, state.params.actor

    def _act_impl(self, latent_params, actor_params, carry, obs, is_first, key, mode):
        latent_key, action_key = jax.random.split(key)
        model = nnx.merge(self.learner.graphs.latent, latent_params)
        feature = model.encoder(*model.targets(obs))
        noise = jax.random.normal(latent_key, (is_first.shape[0], self.config.latent.size))
        latent = model.obs_step(carry.z2, carry.action, feature, is_first, noise).latent
        dist = nnx.merge(self.learner.graphs.actor, actor_params)(latent.z)
        stochastic = mode == "train" or self.config.sac.eval_action == "sample"
        action = sample_action(dist, action_key)[0] if stochastic else jnp.tanh(dist.mean)
        return action, Carry(latent.z2, action), {"actor/std": dist.std.mean(-1)}

    def end_episode(self, state: AgentState, cost: float, agent_steps: int) -> AgentState:
        """Update the multiplier with the cost of a finished training episode.

        Episodes of the prefill, before any update, are ignored.
        """
        del agent_steps
        return state._replace(
            raw_multiplier=self._end_episode(state.raw_multiplier, state.updates, cost)
        )

    def _end_episode_impl(self, raw: jax.Array, updates: jax.Array, cost: jax.Array) -> jax.Array:
        how, limit = self.config.multiplier, self.config.cost_limit
        rate = how.learning_rate * rate_factor(self.config, updates)
        return jnp.where(updates > 0, update_raw(raw, cost, limit, rate, how.max_excess), raw)
