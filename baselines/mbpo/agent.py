"""The agent: SAC's policy and a learner with a model, both jitted; implements `agents.api.Agent`.

The policy acts on the observation alone and has no state.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from agents.api import EnvSpec, PyTree
from agents.jitted import JittedAgent
from agents.nn.observations import vector_of
from baselines.mbpo.config import MBPOConfig
from baselines.mbpo.learner import AgentState, Learner
from baselines.sac.actor_critic import sample_action


class MBPO(JittedAgent):
    """SAC, MBPO, Dyna or MVE for one kind of environment; implements `agents.api.Agent`.

    Raises ValueError for observations with images.
    """

    def __init__(self, config: MBPOConfig, env: EnvSpec):
        self.config = config
        self.learner = Learner(config, env)
        super().__init__(env, self.learner.init, self.learner.update, self.learner.obs_names)
        self._end_episode = jax.jit(self.learner.end_episode, donate_argnums=0)

    def init_carry(self, num_envs: int) -> jax.Array:
        """Empty carry [E, 0]."""
        return jnp.zeros((num_envs, 0))

    def _acting_state(self, state: AgentState) -> tuple[PyTree, ...]:
        return (state.params.actor,)

    def _act_impl(self, actor_params, carry, obs, is_first, key, mode):
        del is_first
        z = vector_of(obs, self.obs_names)
        dist = nnx.merge(self.learner.graphs.actor, actor_params)(z)
        stochastic = mode == "train" or self.config.sac.eval_action == "sample"
        action = sample_action(dist, key)[0] if stochastic else jnp.tanh(dist.mean)
        return action, carry, {"actor/std": dist.std.mean(-1)}

    def end_episode(self, state: AgentState, cost: float, agent_steps: int) -> AgentState:
        """Update the multiplier with the cost of a finished training episode; donates `state`."""
        return self._end_episode(state, cost, agent_steps) if self.config.constrained else state
