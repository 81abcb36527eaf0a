"""Gradient flow through every stop-gradient and straight-through estimator of SafeDreamer.

Compared with closed forms; the gradients are those of the authors' release.
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from agents.lagrangian import init_augmented
from agents.returns import ReturnNormState
from agents.safedreamer.actor_critic import Actor, Critic, critic_loss
from agents.safedreamer.config import ActorConfig
from agents.safedreamer.imagine import actor_rollout, imagine, rollout
from agents.safedreamer.model_loss import head_log_probs, kl_losses
from agents.safedreamer.objectives import actor_loss
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import Belief, untracked
from agents.safedreamer.world_model import WorldModel
from agents.settings import AugmentedConfig
from tests.agent_inputs import VECTOR, hand_made, replay_batch, shaken, tiny

CONFIG = tiny("bsrp_lag").model
FEAT = CONFIG.deter + CONFIG.stoch * CONFIG.classes
# actions, three of which exceed 1
BEYOND = np.array([[0.5, -3.0], [2.0, 0.1], [-1.5, 1.0]], np.float32)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return shaken(WorldModel(CONFIG, VECTOR, rngs=nnx.Rngs(0), dtype=jnp.dtype("float32")))


def normal(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def latents(count: int) -> Latent:
    classes = np.random.default_rng(1).integers(0, CONFIG.classes, (count, CONFIG.stoch))
    stoch = jnp.asarray(np.eye(CONFIG.classes)[classes], jnp.float32)
    return Latent(normal(count, CONFIG.deter, seed=2), stoch, jnp.zeros_like(stoch))


def slope(
    f: Callable[[jax.Array], jax.Array], x: jax.Array, along: jax.Array, step: float = 1e-2
) -> float:
    """Derivative of a scalar function in a direction, by central differences."""
    return float(f(x + step * along) - f(x - step * along)) / (2.0 * step)


# Latent dynamics


def test_an_action_beyond_one_keeps_a_gradient(model: WorldModel):
    """The divisor is treated as constant.

    d(a / max(1, |a|)) / da = 1 / max(1, |a|), even where the quotient itself is constant in a.
    """
    prev, weight = latents(3), normal(3, CONFIG.deter, seed=3)

    def loss(action: jax.Array) -> jax.Array:
        return (weight * model.rssm.next_deter(prev.deter, prev.stoch, action)).sum()

    divisor = np.maximum(1.0, np.abs(BEYOND))
    got = jax.grad(loss)(jnp.asarray(BEYOND))
    inside = jax.grad(loss)(jnp.asarray(BEYOND / divisor))
    assert np.abs(inside).min() > 1e-4
    np.testing.assert_allclose(got, inside / divisor, rtol=1e-4, atol=1e-7)


def test_an_action_within_one_has_the_gradient_of_finite_differences(model: WorldModel):
    prev, weight, along = latents(3), normal(3, CONFIG.deter, seed=3), normal(3, 2, seed=4)
    action = 0.4 * jnp.tanh(normal(3, 2, seed=5))

    def loss(action: jax.Array) -> jax.Array:
        return (weight * model.rssm.next_deter(prev.deter, prev.stoch, action)).sum()

    assert float((jax.grad(loss)(action) * along).sum()) == pytest.approx(
        slope(loss, action, along), rel=1e-2
    )


@pytest.mark.parametrize("part", ["prior", "posterior"])
def test_samples_pass_the_gradient_of_their_probabilities(model: WorldModel, part: str):
    """Straight-through: with s = softmax(l) and p = (1 - u) s + u / C,
    d(w . stoch) / dl = (1 - u) s (w - w . s).
    """
    rssm, prev, noise = model.rssm, latents(3), jnp.full((3, CONFIG.stoch), 0.4)
    weight = normal(3, CONFIG.stoch, CONFIG.classes, seed=6)
    layer = rssm.img_stats if part == "prior" else rssm.obs_stats
    embed_part = rssm.embed_part(normal(3, model.encoder.size, seed=7))
    deter = rssm.next_deter(prev.deter, prev.stoch, jnp.zeros((3, 2)))
    hidden = (
        rssm.img_out(deter)
        if part == "prior"
        else rssm.obs_out.activate(rssm.obs_out.linear.rows(deter, 0) + embed_part)
    )
    graph, params = nnx.split(model)

    def loss(p) -> jax.Array:
        rssm = nnx.merge(graph, p).rssm
        if part == "prior":
            return (weight * rssm.img_step(prev, jnp.zeros((3, 2)), noise).stoch).sum()
        never = jnp.zeros(3, bool)
        return (
            weight
            * rssm.obs_step(
                prev, jnp.zeros((3, 2)), embed_part, never, rssm.initial(3), noise
            ).stoch
        ).sum()

    soft = np.asarray(jax.nn.softmax(layer(hidden).reshape(weight.shape), -1))
    centred = weight - (np.asarray(weight) * soft).sum(-1, keepdims=True)
    expected = ((1.0 - CONFIG.unimix) * soft * centred).sum(0).ravel()
    got = jax.jit(jax.grad(loss))(params)["rssm"]["img_stats" if part == "prior" else "obs_stats"][
        "bias"
    ][...]
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-6)


def test_the_initial_state_learns_through_its_deter_alone(model: WorldModel):
    """d(w . tanh(x)) / dx = w (1 - tanh(x)^2).

    The mode of the initial prior passes no gradient, neither to the prior nor to x.
    """
    graph, params = nnx.split(model)
    weight = normal(CONFIG.deter, seed=8)

    def of_deter(p):
        return (weight * nnx.merge(graph, p).rssm.initial(2).deter).sum()

    def of_stoch(p):
        return (
            normal(2, CONFIG.stoch, CONFIG.classes, seed=9)
            * nnx.merge(graph, p).rssm.initial(2).stoch
        ).sum()

    got = jax.grad(of_deter)(params)["rssm"]["initial_deter"][...]
    deter = np.tanh(model.rssm.initial_deter[...])
    np.testing.assert_allclose(got, 2.0 * weight * (1.0 - deter**2), rtol=1e-4)
    for gradient in jax.tree.leaves(jax.grad(of_stoch)(params)):
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def test_kl_terms_have_their_gradients(model: WorldModel):
    """d dyn / d log p = -q, d rep / d log q = q (log q - log p + 1); the other side gets zero."""
    post, prior = (
        jnp.log(jnp.array([[[[0.9, 0.1], [0.8, 0.2]]]])),
        jnp.log(jnp.array([[[[0.1, 0.9], [0.2, 0.8]]]])),
    )
    q, p = np.exp(post), np.exp(prior)
    to_post, to_prior = jax.grad(lambda x, y: kl_losses(x, y, 1.0)[0].sum(), (0, 1))(post, prior)
    np.testing.assert_array_equal(to_post, np.zeros_like(q))
    np.testing.assert_allclose(to_prior, -q, rtol=1e-5)
    to_post, to_prior = jax.grad(lambda x, y: kl_losses(x, y, 1.0)[1].sum(), (0, 1))(post, prior)
    np.testing.assert_allclose(to_post, q * (np.log(q / p) + 1.0), rtol=1e-4)
    np.testing.assert_array_equal(to_prior, np.zeros_like(p))


def test_every_head_sends_gradients_into_the_features(model: WorldModel):
    """No head is detached (`grad_heads` of the release names all four), and each gradient is the
    slope of that head's log-likelihood.
    """
    batch = {name: jnp.asarray(x) for name, x in replay_batch(VECTOR).items()}
    feat, each = normal(3, 6, FEAT, seed=10), jax.jit(lambda x: head_log_probs(model, x, batch))
    gradients = jax.jit(
        jax.jacrev(lambda x: {name: value.sum() for name, value in each(x).items()})
    )(feat)
    assert set(gradients) == {"observation", "reward", "cont", "cost"}
    for name, gradient in gradients.items():
        norm = float(jnp.sqrt(jnp.square(gradient).sum()))
        assert norm > 1e-4, name
        assert norm == pytest.approx(
            slope(lambda x, name=name: each(x)[name].sum(), feat, gradient / norm), rel=2e-2
        ), name


# Imagination


def make_actor() -> Actor:
    return shaken(Actor(FEAT, 2, ActorConfig(), CONFIG, rngs=nnx.Rngs(3)), 3)


def test_the_predicted_continuation_passes_no_gradient(model: WorldModel):
    gradient = jax.grad(lambda x: model.cont(x).sum())(normal(4, FEAT))
    np.testing.assert_array_equal(gradient, np.zeros((4, FEAT)))


def test_imagined_actions_reach_later_states_through_the_model(model: WorldModel):
    """A two-step rollout has the gradient of its steps written out with the same samples."""
    start, actions = untracked(latents(3)), jnp.asarray(np.stack([BEYOND, -BEYOND, BEYOND]))
    weight, key = normal(3, FEAT, seed=12), jax.random.key(0)

    def whole(actions: jax.Array) -> jax.Array:
        beliefs, _ = rollout(model, start, lambda _, action: action, actions, key)
        return (weight * beliefs.feat[-1]).sum()

    noise = model.rssm.noise(key, (2, 3))

    def by_hand(actions: jax.Array) -> jax.Array:
        belief = start
        for t in range(2):
            # as written in the release
            scale = jax.lax.stop_gradient(1.0 / jnp.maximum(1.0, jnp.abs(actions[t])))
            belief = model.step(belief, actions[t] * scale, noise[t])
        return (weight * belief.feat).sum()

    got = jax.grad(whole)(actions)
    np.testing.assert_allclose(got, jax.grad(by_hand)(actions), rtol=1e-3, atol=1e-6)
    assert np.abs(got[:2]).min() > 1e-6  # also where |a| > 1
    np.testing.assert_array_equal(got[2], np.zeros((3, 2)))  # the last action has no successor


def test_what_the_actor_sees_passes_no_gradient_to_earlier_actions(model: WorldModel):
    """The actor's input is detached: the second action has zero gradient in the first."""
    actor, start = make_actor(), untracked(latents(3))

    def second(first: jax.Array) -> jax.Array:
        belief = model.step(start, first, jnp.full((3, CONFIG.stoch), 0.5))
        return actor.act(model.view(belief), jnp.ones((3, 2))).sum()

    np.testing.assert_array_equal(jax.grad(second)(0.1 * jnp.ones((3, 2))), np.zeros((3, 2)))


def test_starts_of_imagination_are_constants(model: WorldModel):
    actor = make_actor()

    def loss(deter: jax.Array, cont: jax.Array) -> jax.Array:
        start = untracked(latents(3)._replace(deter=deter))
        return imagine(model, actor, start, cont, 2, jax.random.key(0)).action.sum()

    to_deter, to_cont = jax.grad(loss, (0, 1))(normal(3, CONFIG.deter), jnp.ones(3))
    np.testing.assert_array_equal(to_deter, np.zeros((3, CONFIG.deter)))
    np.testing.assert_array_equal(to_cont, np.zeros(3))


@pytest.mark.slow
def test_the_actors_gradient_is_that_of_the_rollout_step_by_step(model: WorldModel):
    """`actor_rollout` differentiates the actor once for all steps, the reference step by step."""
    actor, start, key = make_actor(), untracked(latents(3)), jax.random.key(5)
    graph, params = nnx.split(actor)
    weight = normal(5, 3, 2, seed=8)

    def loss(roll: Callable[[Actor], tuple[Belief, jax.Array]]) -> Callable[[nnx.State], jax.Array]:
        def of_params(params: nnx.State) -> jax.Array:
            beliefs, actions = roll(nnx.merge(graph, params))
            return (model.reward_head(beliefs.feat) ** 2).sum() + (weight * actions).sum()

        return of_params

    def plain(actor: Actor) -> tuple[Belief, jax.Array]:
        model_key, actor_key = jax.random.split(key)
        noise = jax.random.normal(actor_key, (5, 3, 2))
        return rollout(model, start, actor.act, noise, model_key)

    once = jax.jit(
        jax.value_and_grad(loss(lambda actor: actor_rollout(model, actor, start, 4, key)))
    )
    (value, grads), (expected, slow) = (
        once(params),
        jax.jit(jax.value_and_grad(loss(plain)))(params),
    )
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slow)) > 1e-3
    chex.assert_trees_all_close(grads, slow, rtol=1e-3, atol=1e-5)


# Losses of actor and critics


@pytest.mark.parametrize("pessimistic", [True, False])
def test_actor_loss_has_its_gradients(pessimistic: bool):
    """d/dR = -w / (S n), d/dv = w / (S n), d/dRc = (lambda + mu g) dg/dRc.

    Weights, scale, features and multiplier get no gradient.
    """
    actor, (traj, rewards, costs) = make_actor(), hand_made(CONFIG)
    state, norm = (
        init_augmented(AugmentedConfig(0.5, 0.1)),
        ReturnNormState(jnp.float32(-1.0), jnp.float32(3.0)),
    )

    def loss(ret, value, cost_ret, cont, view):
        trajectory = traj._replace(cont=cont, view=view)
        return actor_loss(
            actor,
            trajectory,
            rewards._replace(ret=ret, value=value),
            costs._replace(ret=cost_ret),
            norm,
            state,
            discount=0.9,
            cost_limit=0.25,
            pessimistic=pessimistic,
        ).loss

    at = rewards.ret, rewards.value, costs.ret, traj.cont, traj.view
    to_ret, to_value, to_cost, to_cont, to_view = jax.grad(loss, (0, 1, 2, 3, 4))(*at)
    weight = np.array([[1.0, 0.0], [0.9, 0.0], [0.0, 0.0]])  # cumprod(0.9 cont) / 0.9
    np.testing.assert_allclose(to_ret, -weight / 4.0 / 6.0, rtol=1e-5)
    np.testing.assert_allclose(
        to_value, np.concatenate([weight / 4.0 / 6.0, np.zeros((1, 2))]), rtol=1e-5
    )
    ret = np.asarray(costs.ret)
    g = (ret.sum(0) if pessimistic else ret.mean(0)).mean() - 0.25
    each = 1.0 / 2.0 if pessimistic else 1.0 / 6.0
    np.testing.assert_allclose(to_cost, np.full((3, 2), max(0.0, 0.5 + 0.1 * g) * each), rtol=1e-4)
    np.testing.assert_array_equal(to_cont, np.zeros_like(to_cont))
    np.testing.assert_array_equal(to_view, np.zeros_like(to_view))


def test_critic_loss_has_its_gradients():
    """The last bias gets the mean of w (2 softmax - twohot(target) - twohot(slow)).

    Target, weight, features and slow copy get no gradient.
    """
    critic, slow = (shaken(Critic(FEAT, CONFIG, rngs=nnx.Rngs(n)), n) for n in (1, 2))
    graph, params = nnx.split(critic)
    slow_graph, slow_params = nnx.split(slow)
    view, target, weight = (
        normal(3, 2, FEAT, seed=15),
        5.0 * normal(3, 2, seed=16),
        jnp.abs(normal(3, 2, seed=17)),
    )

    def loss(p, slow_p, view, target, weight):
        return critic_loss(
            nnx.merge(graph, p), nnx.merge(slow_graph, slow_p), view, target, weight, 0.5
        )

    to_params, *others = jax.grad(loss, (0, 1, 2, 3, 4))(params, slow_params, view, target, weight)
    for gradient in jax.tree.leaves(others):
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))
    bins = np.linspace(-20.0, 20.0, CONFIG.bins)

    def twohot(x):
        position = np.clip(
            np.interp(np.sign(x) * np.log1p(np.abs(x)), bins, np.arange(CONFIG.bins)),
            0,
            CONFIG.bins - 1,
        )
        return np.maximum(0.0, 1.0 - np.abs(position[..., None] - np.arange(CONFIG.bins)))

    soft = np.asarray(jax.nn.softmax(critic(view), -1))
    each = (soft - twohot(np.asarray(target))) + 0.5 * (soft - twohot(np.asarray(slow.value(view))))
    expected = (np.asarray(weight)[..., None] * each).mean((0, 1))
    np.testing.assert_allclose(to_params["out"]["bias"][...], expected, rtol=1e-3, atol=1e-5)
