"""Trajectories that a policy imagines in the world model
(docs/concepts/safedreamer.md#imagination).

Shapes: H imagined steps, N starts, V input of actor and critics (`WorldModel.view`), A actions;
trajectories are time first with the start as row 0: [H+1, N, ...].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.safedreamer.actor_critic import Actor
from agents.safedreamer.tracking import Belief
from agents.safedreamer.world_model import WorldModel


class Trajectory(NamedTuple):
    """belief [H+1, N, ...]; view [H+1, N, V]; action [H+1, N, A], the last row unused.

    cont [H+1, N], row 0 from the replay batch.
    """

    belief: Belief
    view: jax.Array
    action: jax.Array
    cont: jax.Array


def rollout(
    model: WorldModel,
    start: Belief,
    policy: Callable[[jax.Array, Any], jax.Array],
    inputs: Any,
    key: jax.Array | None,
) -> tuple[Belief, jax.Array]:
    """Roll out the model from `start` [N, ...]; returns beliefs and actions [H+1, N, ...].

    The action at step t is `policy(view [N, V], inputs[t])` -> [N, A].

    `inputs`, arrays [H+1, ...], set the length. Latents are sampled, or the prior's modes if `key`
    is None.
    """
    steps = len(jax.tree.leaves(inputs)[0])
    noise = None if key is None else model.rssm.noise(key, (steps - 1, start.latent.deter.shape[0]))
    first_input, later = (
        jax.tree.map(lambda x, at=at: x[at], inputs) for at in (0, slice(1, None))
    )

    def step(carry, xs):
        (belief, action), (step_noise, step_input) = carry, xs
        belief = model.step(belief, action, step_noise)
        action = policy(model.view(belief), step_input)
        return (belief, action), (belief, action)

    first = policy(model.view(start), first_input)
    _, (beliefs, actions) = jax.lax.scan(step, (start, first), (noise, later))
    beliefs = jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs], 0), start, beliefs)
    return beliefs, jnp.concatenate([first[None], actions], 0)


def actor_rollout(
    model: WorldModel, actor: Actor, start: Belief, horizon: int, key: jax.Array
) -> tuple[Belief, jax.Array]:
    """`rollout` with actions sampled from the actor, differentiable in the actor's parameters only.

    Gradients to the actor's input are stopped, so its parameters have an effect through the actions
    only. The gradient is therefore propagated through the model's steps to the actions, and then
    from all actions at once through the actor: products over [H * N] rows instead of H small ones
    whose weight gradients a scan would accumulate step by step.
    """
    model_key, actor_key = jax.random.split(key)
    shape = (horizon + 1, start.latent.deter.shape[0], actor.mean.kernel.shape[-1])
    noise, still = jax.random.normal(actor_key, shape), jnp.zeros(shape)
    graph, params = nnx.split(actor)
    start = jax.lax.stop_gradient(start)

    def roll(params: nnx.State, shift: jax.Array) -> tuple[Belief, jax.Array]:
        frozen = nnx.merge(graph, params)

        def policy(view: jax.Array, xs: tuple[jax.Array, jax.Array]) -> jax.Array:
            return frozen.act(view, xs[0]) + xs[1]

        return rollout(model, start, policy, (noise, shift), model_key)

    @jax.custom_vjp
    def acted(params: nnx.State) -> tuple[Belief, jax.Array]:
        return roll(params, still)

    def forward(params: nnx.State):
        (beliefs, actions), to_shift = jax.vjp(lambda shift: roll(params, shift), still)
        return (beliefs, actions), (to_shift, model.view(beliefs), params)

    def backward(saved, cotangents):
        to_shift, view, params = saved
        (to_actions,) = to_shift(cotangents)
        _, to_params = jax.vjp(lambda p: nnx.merge(graph, p).act(view, noise), params)
        return to_params(to_actions)

    acted.defvjp(forward, backward)
    return acted(params)


def imagine(
    model: WorldModel,
    actor: Actor,
    start: Belief,
    start_cont: jax.Array,
    horizon: int,
    key: jax.Array,
) -> Trajectory:
    """Imagine a trajectory of the actor; `start_cont` [N] is 1 - is_terminal of the starts."""
    beliefs, action = actor_rollout(model, actor, start, horizon, key)
    cont = jnp.concatenate([start_cont[None], model.cont(beliefs.feat[1:])], 0)
    return Trajectory(beliefs, model.view(beliefs), action, cont)
