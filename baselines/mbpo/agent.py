"""The agent: SAC's policy and a learner with a model, both jitted; implements `agents.api.Agent`.

The policy acts on the observation alone and has no state.
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from agents.api import EnvSpec, Mode
from agents.nn.observations import vector_of
from baselines.mbpo.config import MBPOConfig
from baselines.mbpo.learner import AgentState, Learner
from baselines.sac.actor_critic import sample_action


class MBPO:
    """SAC, MBPO, Dyna or MVE for one kind of environment; implements `agents.api.Agent`.

    Raises ValueError for observations with images.
    """

    pretrain_updates = 0

    def __init__(self, config: MBPOConfig, env: EnvSpec):
        self.config, self.env = config, env
        self.learner = Learner(config, env)
        self._init = jax.jit(self.learner.init)
        self._act = jax.jit(self._act_impl, static_argnames="mode")
        self._update = jax.jit(self.learner.update, donate_argnums=0)
        self._end_episode = jax.jit(self.learner.end_episode, donate_argnums=0)

    def init(self, seed: int) -> AgentState:
        """The learner's initial state."""
        return self._init(jax.random.key(seed))

    def init_carry(self, num_envs: int) -> jax.Array:
        """Empty carry [E, 0]."""
        return jnp.zeros((num_envs, 0))

    def act(
        self,
        state: AgentState,
        carry: jax.Array,
        obs: Mapping[str, np.ndarray],
        is_first: np.ndarray,
        key: jax.Array,
        mode: Mode,
    ) -> tuple[jax.Array, jax.Array, dict[str, jax.Array]]:
        """Actions [E, A] for observations [E, ...]; see `agents.api.Agent.act`."""
        del is_first
        obs = {name: obs[name] for name in self.learner.obs_names}
        action, info = self._act(state.params.actor, obs, key, mode=mode)
        return action, carry, info

    def _act_impl(self, actor_params, obs, key, mode):
        z = vector_of(obs, self.learner.obs_names)
        dist = nnx.merge(self.learner.graphs.actor, actor_params)(z)
        stochastic = mode == "train" or self.config.sac.eval_action == "sample"
        action = sample_action(dist, key)[0] if stochastic else jnp.tanh(dist.mean)
        return action, {"actor/std": dist.std.mean(-1)}

    def update(
        self, state: AgentState, batch: Mapping[str, np.ndarray], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One learner update on a replay batch [B, T, ...]; donates `state`."""
        return self._update(state, dict(batch), key)

    def end_episode(self, state: AgentState, cost: float, agent_steps: int) -> AgentState:
        """Update the multiplier with the cost of a finished training episode; donates `state`."""
        return self._end_episode(state, cost, agent_steps) if self.config.constrained else state
