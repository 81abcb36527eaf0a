"""The learner of Safe SLAC: its update is a pure function of state, replay batch and key.

Order of one update: latent model on some of the windows -> critics -> cost critic -> actor ->
temperature on the others, with latents of the updated model -> target copies. The first
`pretrain_updates` updates train the latent model alone.
No gradient of actor or critics reaches the latent model.
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
from agents.nn.observations import Seen
from agents.nn.params import copied, graphs_of, params_of
from agents.optimizers import gradient_step, init_optimizers, make_optimizer
from agents.world_models import after_pretraining
from baselines.sac.actor_critic import build as build_sac
from baselines.sac.multiplier import init_raw
from baselines.sac.update import ActorCriticLearner, Transitions, sac_optimizers
from baselines.safe_slac.config import SafeSLACConfig
from baselines.safe_slac.latent import LatentModel
from baselines.safe_slac.losses import latent_loss
from baselines.safe_slac.windows import Windows, make_windows


class Networks(NamedTuple):
    """One entry per network: modules, graph definitions or parameters."""

    latent: Any
    actor: Any
    critic: Any
    cost_critic: Any


class Learned(NamedTuple):
    """Everything with an optimiser: parameters, optimisers or their states."""

    latent: Any
    actor: Any
    critic: Any
    cost_critic: Any
    log_temperature: Any


class AgentState(NamedTuple):
    """Everything that learning changes; a checkpoint of this pytree is complete."""

    params: Learned
    target_critic: Any
    target_cost_critic: Any
    optimizers: Learned
    raw_multiplier: jax.Array
    updates: jax.Array

    @property
    def multiplier(self) -> jax.Array:
        return jax.nn.softplus(self.raw_multiplier)


def rate_factor(config: SafeSLACConfig, updates: jax.Array | int) -> jax.Array:
    """Factor on every learning rate.

    1 at first, one half from `halve_after` updates after pre-training on.
    """
    return jnp.where(jnp.asarray(updates) >= config.pretrain_updates + config.halve_after, 0.5, 1.0)


def build(config: SafeSLACConfig, env: EnvSpec, rngs: nnx.Rngs) -> Networks:
    """Newly initialised modules for one kind of environment."""
    latent = LatentModel(config.latent, env, rngs=rngs)
    return Networks(
        latent, *build_sac(config.sac, config.latent.size, env, config.cost_limit, rngs)
    )


class Learner(ActorCriticLearner):
    """Graphs, optimisers and the update of one configuration.

    Stateless; see `AgentState`. Raises ValueError for unsupported observations.
    """

    def __init__(self, config: SafeSLACConfig, env: EnvSpec):
        self.config, self.env = config, env
        seen = Seen.of(env.obs, config.latent.cameras == "all")
        self.obs_names = seen.images + seen.vectors
        self.graphs = graphs_of(partial(build, config, env))
        self.optimizers = Learned(
            make_optimizer(config.latent.optimizer), *sac_optimizers(config.sac)
        )

    def init(self, key: jax.Array) -> AgentState:
        """Initial learner state; targets start as copies."""
        params = Learned(
            *params_of(build(self.config, self.env, nnx.Rngs(key))),
            log_temperature=jnp.log(jnp.float32(self.config.sac.temperature)),
        )
        return AgentState(
            params,
            copied(params.critic),
            copied(params.cost_critic),
            init_optimizers(self.optimizers, params),
            init_raw(self.config.multiplier.init),
            jnp.zeros((), jnp.int32),
        )

    def update(
        self, state: AgentState, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One update on a replay batch [B, T, ...]: the next state and metrics (scalars).

        Metrics of SAC are 0 during pre-training.

        Raises ValueError (when traced) for a batch that leaves actor and critics no window.
        """
        latent_key, encode_key, sac_key = jax.random.split(key, 3)
        count, size = self.config.latent.batch, batch["reward"].shape[0]
        if count >= size:
            raise ValueError(
                f"loop.batch_size={size} must exceed latent.batch={count}: the rest trains "
                "actor and critics"
            )
        windows = make_windows(batch, self.obs_names, self.config.latent.whole_windows)
        for_latent, for_sac = (
            jax.tree.map(lambda x, part=part: x[part], windows)
            for part in (slice(count), slice(count, None))
        )
        rates = rate_factor(self.config, state.updates)

        def loss(p):
            return latent_loss(nnx.merge(self.graphs.latent, p), for_latent, latent_key)

        grads, metrics = jax.grad(loss, has_aux=True)(state.params.latent)
        state, norm = gradient_step(self.optimizers, state, "latent", grads, rates)
        metrics |= {"latent/grad_norm": norm}

        def learn(state: AgentState):
            data = self.transitions(state.params.latent, for_sac, encode_key)
            return self.sac_step(state, data, sac_key, rates)

        state, sac_metrics = after_pretraining(self.config.pretrain_updates, state, learn)
        metrics |= sac_metrics | {"multiplier": state.multiplier, "learning_rate_factor": rates}
        metrics["nonfinite"] = count_nonfinite(metrics)
        return state._replace(updates=state.updates + 1), metrics

    def transitions(self, params: Any, windows: Windows, key: jax.Array) -> Transitions:
        """The last transition of each window, between latents sampled by filtering the window."""
        model = nnx.merge(self.graphs.latent, params)
        feature = model.encoder(*model.targets(windows.obs))
        z = model.observe(feature, windows.action, windows.is_first, key).latent.z
        rest = (x[:, -1] for x in (windows.reward, windows.cost, windows.terminal, windows.weight))
        return jax.lax.stop_gradient(Transitions(z[:, -2], windows.action[:, -2], z[:, -1], *rest))
