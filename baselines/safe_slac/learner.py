"""How a Safe SLAC agent learns: a pure function from state, replay batch and key to the next state.

Order of one update: latent model on some of the windows -> critics -> cost critic -> actor ->
temperature on the others, whose latents the new model gives -> target copies. The first
`pretrain_updates` updates train the latent model alone.
No gradient of actor or critics reaches the latent model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from agents.checks import count_nonfinite
from agents.optimizers import make_optimizer
from baselines.safe_slac import sac
from baselines.safe_slac.config import SafeSLACConfig
from baselines.safe_slac.losses import latent_loss
from baselines.safe_slac.multiplier import init_raw
from baselines.safe_slac.networks import Learned, Networks
from baselines.safe_slac.windows import Windows, make_windows, split, weighted_mean


class AgentState(NamedTuple):
    """All that learning changes: a checkpoint of this pytree forgets nothing."""

    params: Learned
    target_critic: Any
    target_cost_critic: Any
    optimizers: Learned
    raw_multiplier: jax.Array
    updates: jax.Array

    @property
    def multiplier(self) -> jax.Array:
        return jax.nn.softplus(self.raw_multiplier)


class Transitions(NamedTuple):
    """The last transition of each window: latents z, z_next [N, Z], action [N, A].

    The others [N].
    """

    z: jax.Array
    action: jax.Array
    z_next: jax.Array
    reward: jax.Array
    cost: jax.Array
    terminal: jax.Array
    weight: jax.Array


def rate_factor(config: SafeSLACConfig, updates: jax.Array | int) -> jax.Array:
    """1 at first, one half from `halve_after` updates after pre-training on.

    Multiplies every learning rate.
    """
    return jnp.where(jnp.asarray(updates) >= config.pretrain_updates + config.halve_after, 0.5, 1.0)


def soft_update(target: Any, online: Any, fraction: float) -> Any:
    """target <- (1 - fraction) target + fraction online."""
    return optax.incremental_update(online, target, fraction)


class Learner:
    """Optimisers and the update of one configuration.

    Holds nothing that changes; see `AgentState`.
    """

    def __init__(self, config: SafeSLACConfig, graphs: Networks, obs_names: tuple[str, ...]):
        self.config, self.graphs, self.obs_names = config, graphs, obs_names
        of_sac = make_optimizer(config.sac.optimizer)
        of_actor = make_optimizer(
            dataclasses.replace(config.sac.optimizer, clip=config.sac.actor_clip)
        )
        self.optimizers = Learned(
            make_optimizer(config.latent.optimizer), of_actor, of_sac, of_sac, of_sac
        )

    def fresh_state(self, params: Learned) -> AgentState:
        """A fresh learner around given parameters; targets start as copies."""
        optimizers = Learned(*(o.init(p) for o, p in zip(self.optimizers, params, strict=True)))
        copy = partial(jax.tree.map, jnp.copy)  # donated buffers must not be shared
        raw = init_raw(self.config.multiplier.init)
        return AgentState(
            params,
            copy(params.critic),
            copy(params.cost_critic),
            optimizers,
            raw,
            jnp.zeros((), jnp.int32),
        )

    def update(
        self, state: AgentState, batch: Mapping[str, jax.Array], key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One update on a replay batch [B, T, ...]: the next state and metrics (scalars).

        Those of SAC are 0 in pre-training.

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
        for_latent, for_sac = split(windows, count)
        rates = rate_factor(self.config, state.updates)

        def loss(p):
            return latent_loss(nnx.merge(self.graphs.latent, p), for_latent, latent_key)

        grads, metrics = jax.grad(loss, has_aux=True)(state.params.latent)
        state, norm = self._apply("latent", grads, state, rates)
        metrics |= {"latent/grad_norm": norm}

        def learn(state: AgentState):
            return self.sac_step(
                state, self.transitions(state.params.latent, for_sac, encode_key), rates, sac_key
            )

        if self.config.pretrain_updates:
            _, shapes = jax.eval_shape(learn, state)
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
            pretrained = state.updates >= self.config.pretrain_updates
            state, sac_metrics = jax.lax.cond(
                pretrained, learn, lambda state: (state, zeros), state
            )
        else:
            state, sac_metrics = learn(state)
        metrics |= sac_metrics | {"multiplier": state.multiplier, "learning_rate_factor": rates}
        metrics["nonfinite"] = count_nonfinite(metrics)
        return state._replace(updates=state.updates + 1), metrics

    def transitions(self, params: Any, windows: Windows, key: jax.Array) -> Transitions:
        """Latents of the last two frames of each window, sampled through the window, and what
        happened between them.
        """
        model = nnx.merge(self.graphs.latent, params)
        feature = model.encoder(*model.targets(windows.obs))
        z = model.observe(feature, windows.action, windows.is_first, key).latent.z
        rest = (x[:, -1] for x in (windows.reward, windows.cost, windows.terminal, windows.weight))
        return jax.lax.stop_gradient(Transitions(z[:, -2], windows.action[:, -2], z[:, -1], *rest))

    def sac_step(
        self, state: AgentState, data: Transitions, rates: jax.Array, key: jax.Array
    ) -> tuple[AgentState, dict[str, jax.Array]]:
        """One update of critics, cost critic, actor, temperature and target copies, in this
        order.
        """
        target_key, cost_key, actor_key = jax.random.split(key, 3)
        config, graphs, w = self.config.sac, self.graphs, data.weight
        temperature = jnp.exp(state.params.log_temperature)
        actor = nnx.merge(graphs.actor, state.params.actor)

        next_dist = actor(data.z_next)
        next_action, next_log_prob = sac.sample_action(next_dist, target_key)
        next1, next2 = nnx.merge(graphs.critic, state.target_critic)(data.z_next, next_action)
        y = sac.reward_target(
            data.reward, data.terminal, next1, next2, next_log_prob, temperature, config.discount
        )

        def critic_loss(p):
            q1, q2 = nnx.merge(graphs.critic, p)(data.z, data.action)
            return weighted_mean(jnp.square(q1 - y) + jnp.square(q2 - y), w)

        critic_value, grads = jax.value_and_grad(critic_loss)(state.params.critic)
        state, critic_norm = self._apply("critic", grads, state, rates)

        cost_action, _ = sac.sample_action(next_dist, cost_key)
        cost_value = nnx.merge(graphs.cost_critic, state.target_cost_critic).future(
            data.z_next, cost_action
        )
        y_cost = sac.cost_target(data.cost, data.terminal, cost_value, config.cost_discount)

        def cost_loss(p):
            return weighted_mean(
                jnp.square(nnx.merge(graphs.cost_critic, p)(data.z, data.action) - y_cost), w
            )

        cost_loss_value, grads = jax.value_and_grad(cost_loss)(state.params.cost_critic)
        state, cost_norm = self._apply("cost_critic", grads, state, rates)

        critic = nnx.merge(graphs.critic, state.params.critic)
        cost_critic = nnx.merge(graphs.cost_critic, state.params.cost_critic)

        def actor_loss(p):
            action, log_prob = sac.sample_action(nnx.merge(graphs.actor, p)(data.z), actor_key)
            cost = cost_critic(data.z, action)
            q1, q2 = critic(data.z, action)
            objective = sac.actor_objective(q1, q2, log_prob, cost, temperature, state.multiplier)
            return -weighted_mean(objective, w), (
                -weighted_mean(log_prob, w),
                weighted_mean(cost, w),
            )

        (actor_value, (entropy, policy_cost)), grads = jax.value_and_grad(actor_loss, has_aux=True)(
            state.params.actor
        )
        state, actor_norm = self._apply("actor", grads, state, rates)

        target_entropy = -float(data.action.shape[-1])
        grads = jax.grad(sac.temperature_loss)(
            state.params.log_temperature, entropy, target_entropy
        )
        state, _ = self._apply("log_temperature", grads, state, rates)
        state = state._replace(
            target_critic=soft_update(
                state.target_critic, state.params.critic, config.target_fraction
            ),
            target_cost_critic=soft_update(
                state.target_cost_critic, state.params.cost_critic, config.target_fraction
            ),
        )
        return state, {
            "critic/loss": critic_value,
            "critic/target": weighted_mean(y, w),
            "critic/grad_norm": critic_norm,
            "cost_critic/loss": cost_loss_value,
            "cost_critic/target": weighted_mean(y_cost, w),
            "cost_critic/value": policy_cost,
            "cost_critic/grad_norm": cost_norm,
            "actor/loss": actor_value,
            "actor/entropy": entropy,
            "actor/grad_norm": actor_norm,
            "actor/temperature": temperature,
        }

    def _apply(
        self, name: str, grads: Any, state: AgentState, rates: jax.Array
    ) -> tuple[AgentState, jax.Array]:
        """One optimiser step of one entry of the parameters, scaled by `rates`.

        The gradient's norm.
        """
        params, optimizer = getattr(state.params, name), getattr(self.optimizers, name)
        updates, opt_state = optimizer.update(grads, getattr(state.optimizers, name), params)
        new = optax.apply_updates(params, jax.tree.map(lambda x: rates * x, updates))
        state = state._replace(
            params=state.params._replace(**{name: new}),
            optimizers=state.optimizers._replace(**{name: opt_state}),
        )
        return state, optax.tree.norm(grads)
