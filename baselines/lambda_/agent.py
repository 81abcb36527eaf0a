"""The LAMBDA agent: a policy (actor on filtered latent states) and a learner, both jitted;
implements `agents.api.Agent`.

Filtering and acting use the current parameters; sampled ones are used only in imagination. Latent
states are reset at the start of every episode, also in evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from agents.api import EnvSpec, Mode
from baselines.lambda_.config import LambdaConfig
from baselines.lambda_.learner import AgentState, Learner
from baselines.lambda_.rssm import Latent, zero_latent


class Carry(NamedTuple):
    """Policy state per environment: latent [E, ...] and previous action [E, A]."""

    latent: Latent
    action: jax.Array


class Lambda:
    """LAMBDA for one kind of environment; implements `agents.api.Agent`."""

    def __init__(self, config: LambdaConfig, env: EnvSpec):
        self.config = config
        self.env = env
        self.learner = Learner(config, env)
        self._init = jax.jit(self.learner.init)
        self._act = jax.jit(self._act_impl, static_argnames="mode")
        self._update = jax.jit(self.learner.update, donate_argnums=0)

    @property
    def pretrain_updates(self) -> int:
        """Updates of the world model alone, before the actor first acts."""
        return self.config.pretrain_updates

    def init(self, seed: int) -> AgentState:
        """The learner's initial state."""
        return self._init(jax.random.key(seed))

    def init_carry(self, num_envs: int) -> Carry:
        """Zeros, the state at the start of every episode."""
        return Carry(
            zero_latent(self.config.model, (num_envs,)), jnp.zeros((num_envs, self.env.action_dim))
        )

    def act(
        self,
        state: AgentState,
        carry: Carry,
        obs: Mapping[str, np.ndarray],
        is_first: np.ndarray,
        key: jax.Array,
        mode: Mode,
    ) -> tuple[jax.Array, Carry, dict[str, jax.Array]]:
        """Actions [E, A] for observations [E, ...]; see `agents.api.Agent.act`."""
        obs = {name: obs[name] for name in self.env.obs}
        return self._act(
            state.params.model, state.params.actor, carry, obs, is_first, key, mode=mode
        )

    def _act_impl(self, model_params, actor_params, carry, obs, is_first, key, mode):
        latent_key, action_key = jax.random.split(key)
        model = nnx.merge(self.learner.graphs.model, model_params)
        actor = nnx.merge(self.learner.graphs.actor, actor_params)
        noise = jax.random.normal(latent_key, carry.latent.stoch.shape)
        transition, posterior = model.dynamics.transition, model.posterior
        latent = posterior.correct(
            transition, carry.latent, carry.action, model.encoder(obs), is_first, noise
        )
        if mode == "train":
            action = actor.sample(latent.feat, jax.random.normal(action_key, carry.action.shape))
        else:
            action = actor.mode(latent.feat, action_key)
        return action, Carry(latent, action), {"actor/std": actor(latent.feat)[1].mean(-1)}

    def update(
        self, state: AgentState, batch: Mapping[str, np.ndarray], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One learner update on a replay batch [B, T, ...]; donates `state`."""
        return self._update(state, dict(batch), key)

    def end_episode(self, state: AgentState, cost: float, agent_steps: int) -> AgentState:
        """Does nothing: only imagined costs drive LAMBDA's multiplier."""
        del cost, agent_steps
        return state
