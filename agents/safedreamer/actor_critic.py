"""Actor and critics, trained on imagined trajectories (docs/concepts/safedreamer.md#imagination).

Shapes: H imagined steps, N starts, F features, V input of actor and critics (`WorldModel.view`), A
actions; trajectories are time first with the start as row 0: [H+1, N, ...].
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from agents.lagrangian import AugmentedState, augmented_penalty
from agents.nn.distributions import normal_entropy, twohot_log_prob, twohot_mean
from agents.nn.gaussian import normal_log_prob
from agents.nn.layers import MLP, Linear
from agents.returns import ReturnNormState, discount_weights, lambda_return, return_scale
from agents.safedreamer.config import ActorConfig, ImaginationConfig, ModelConfig
from agents.safedreamer.tracking import Belief
from agents.safedreamer.world_model import Head, WorldModel

sg = jax.lax.stop_gradient


class Actor(nnx.Module):
    """Diagonal Gaussian: mean = tanh(m), std = min + (max - min) * sigmoid(s + 2).

    Samples are not squashed.
    """

    def __init__(
        self,
        view_dim: int,
        action_dim: int,
        config: ActorConfig,
        model: ModelConfig,
        *,
        rngs: nnx.Rngs,
        dtype: jnp.dtype = jnp.float32,
    ):
        self.mlp = MLP(view_dim, model.head_units, model.head_layers, rngs=rngs, dtype=dtype)
        self.mean = Linear(model.head_units, action_dim, rngs=rngs, dtype=dtype)
        self.std = Linear(model.head_units, action_dim, rngs=rngs, dtype=dtype)
        self.config = config

    def __call__(self, view: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and standard deviation of the action, each [..., A]."""
        x = self.mlp(view)
        spread = jax.nn.sigmoid(self.std(x).astype(jnp.float32) + 2.0)
        std = self.config.min_std + (self.config.max_std - self.config.min_std) * spread
        return jnp.tanh(self.mean(x).astype(jnp.float32)), std

    def act(self, view: jax.Array, noise: jax.Array) -> jax.Array:
        """Action mean + std * noise [..., A].

        Gradients to `view` are stopped, so they reach earlier steps through actions only.
        """
        mean, std = self(sg(view))
        return mean + std * noise


class Critic(Head):
    """Two-hot value head initialised to zero, [..., V] -> [..., K] logits."""

    def __init__(
        self, view_dim: int, model: ModelConfig, *, rngs: nnx.Rngs, dtype: jnp.dtype = jnp.float32
    ):
        super().__init__(view_dim, model.bins, model, rngs=rngs, outscale=0.0, dtype=dtype)

    def value(self, view: jax.Array) -> jax.Array:
        """Expected return, [..., V] -> [...]."""
        return twohot_mean(self(view))


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
    start = sg(start)

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


class Returns(NamedTuple):
    """reward [H, N] on arriving at rows 1..H; value [H+1, N].

    ret [H, N], the λ-return of rows 0..H-1.
    """

    reward: jax.Array
    value: jax.Array
    ret: jax.Array


def trajectory_returns(
    reward: jax.Array, value: jax.Array, cont: jax.Array, discount: float, lam: float
) -> Returns:
    """λ-returns of rewards (or costs) [H, N] with values [H+1, N] and continuation [H+1, N]."""
    return Returns(reward, value, lambda_return(reward, value, discount * cont[1:], lam))


def imagined_returns(
    model: WorldModel,
    critic: Critic,
    cost_critic: Critic | None,
    traj: Trajectory,
    imagination: ImaginationConfig,
) -> tuple[Returns, Returns | None]:
    """Returns of rewards and, with a cost critic, of costs along a trajectory."""
    arrived = jax.tree.map(lambda x: x[1:], traj.belief)
    rewards = trajectory_returns(
        model.reward(arrived.feat),
        critic.value(traj.view),
        traj.cont,
        imagination.discount,
        imagination.lam,
    )
    if cost_critic is None:
        return rewards, None
    cost, value = model.cost(arrived), cost_critic.value(traj.view)
    return rewards, trajectory_returns(
        cost, value, traj.cont, imagination.cost_discount, imagination.lam_of_costs
    )


def with_gradient(actor: Actor, traj: Trajectory, returns: Returns) -> Returns:
    """The same returns and values, with the gradient chosen by `actor.gradient`.

    The terms of DreamerV2's actor loss (arXiv:2010.02193) as a choice of what is differentiated:

        dynamics   dR/da through the model, unchanged
        reinforce  d log pi(a) * (R - v), with R, v and a held fixed
        mixed      share * reinforce + (1 - share) * dynamics

    Values do not change, so losses, penalties and critics are the same under all three.
    """
    if actor.config.gradient == "dynamics":
        return returns
    share = actor.config.reinforce_share if actor.config.gradient == "mixed" else 1.0
    log_prob = normal_log_prob(sg(traj.action[:-1]), *actor(sg(traj.view[:-1])))
    score = (log_prob - sg(log_prob)) * sg(returns.ret - returns.value[:-1])
    return returns._replace(
        value=_scaled_gradient(returns.value, 1.0 - share),
        ret=_scaled_gradient(returns.ret, 1.0 - share) + share * score,
    )


def _scaled_gradient(x: jax.Array, scale: float) -> jax.Array:
    """x, with its gradient multiplied by `scale`."""
    return sg(x) if scale == 0.0 else sg(x) + scale * (x - sg(x))


class ActorTerms(NamedTuple):
    """Parts of the actor's objective; scalars but for entropy [H+1, N]."""

    loss: jax.Array
    penalty: jax.Array
    excess: jax.Array
    entropy: jax.Array


def actor_loss(
    actor: Actor,
    traj: Trajectory,
    rewards: Returns,
    costs: Returns | None,
    norm: ReturnNormState,
    augmented: AugmentedState | None,
    *,
    discount: float,
    cost_limit: float,
    pessimistic: bool,
    price: jax.Array | None = None,
) -> ActorTerms:
    """Weighted mean of -advantage - entropy bonus, plus the penalty of the augmented Lagrangian or,
    if given, of a `price`.

    advantage = (R - v) / max(1, p95 - p5);   weight = cumprod(discount * cont) / discount
    excess = mean over starts of (sum over steps of Rc if pessimistic else mean) - cost_limit

    `price` is an external multiplier: a unit of cost return weighs as much as `price` units of
    return, as in the planner's score R - price Rc.
    """
    entropy = normal_entropy(actor(sg(traj.view))[1])
    advantage = (rewards.ret - rewards.value[:-1]) / return_scale(norm)
    weight = sg(discount_weights(traj.cont, discount))[:-1]
    loss = (weight * (-advantage - actor.config.entropy_scale * entropy[:-1])).mean()
    if price is not None and costs is not None:
        penalty = price * (weight * costs.ret).mean() / return_scale(norm)
        return ActorTerms(loss + penalty, penalty, jnp.zeros(()), entropy)
    if augmented is None or costs is None:
        return ActorTerms(loss, jnp.zeros(()), jnp.zeros(()), entropy)
    per_start = costs.ret.sum(0) if pessimistic else costs.ret.mean(0)
    excess = per_start.mean() - cost_limit
    penalty = augmented_penalty(augmented, excess)
    return ActorTerms(loss + penalty, penalty, excess, entropy)


def critic_loss(
    critic: Critic,
    slow: Critic,
    view: jax.Array,
    target: jax.Array,
    weight: jax.Array,
    slow_scale: float,
) -> jax.Array:
    """Mean of weight * (-log p(target) - slow_scale * log p(mean of the slow critic)).

    view [H, N, V], target and weight [H, N].
    """
    logits = critic(sg(view))
    fit = -twohot_log_prob(logits, sg(target))
    regulariser = -twohot_log_prob(logits, sg(slow.value(view)))
    return (sg(weight) * (fit + slow_scale * regulariser)).mean()


def update_slow(slow: dict, fast: dict, updates: jax.Array, fraction: float) -> dict:
    """EMA of parameters towards `fast`; the first update copies them."""
    mix = jnp.where(updates == 0, 1.0, fraction)
    return jax.tree.map(lambda s, f: (1.0 - mix) * s + mix * f, slow, fast)
