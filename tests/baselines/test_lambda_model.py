"""LAMBDA's world model: shapes, alignment with actions and episode starts, losses by hand; its
heads and actor.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from agents.nn.observations import Seen
from agents.nn.params import params_of
from baselines.lambda_.actor_critic import Actor, Critic, critic_loss
from baselines.lambda_.codec import Decoder, Encoder
from baselines.lambda_.config import ActorConfig, CriticConfig, LambdaConfig, ModelConfig
from baselines.lambda_.imagine import imagine
from baselines.lambda_.presets import DEBUG
from baselines.lambda_.rssm import Latent, Posterior, Transition, observe, zero_latent
from baselines.lambda_.world_model import (
    Dynamics,
    WorldModel,
    balanced_kl,
    model_loss,
    weighted_cost_log_prob,
)
from tests.agent_inputs import ENVS, LIDAR, VISION, observations, replay_batch

MODEL = DEBUG.model
F32 = jnp.dtype("float32")


@pytest.mark.parametrize("cameras, channels", [("front", 3), ("all", 6)])
def test_images_become_vectors_and_back(cameras: str, channels: int):
    config = dataclasses.replace(MODEL, cameras=cameras)
    seen = Seen.of(VISION.obs, cameras == "all")
    obs = observations(VISION, (2, 3))
    encoder = Encoder(config, seen, rngs=nnx.Rngs(0), dtype=F32)
    decoder = Decoder(config, seen, rngs=nnx.Rngs(0), dtype=F32)
    assert encoder(obs).shape == (2, 3, encoder.size) == (2, 3, 4 * 8 * config.conv_depth)
    feat = jnp.ones((2, 3, config.feat_dim))
    assert decoder.picture(feat).shape == (2, 3, 64, 64, channels)
    target = seen.picture(obs) - 0.5
    assert (
        target.shape[-1] == channels and float(target.min()) == -0.5 and float(target.max()) == 0.5
    )
    np.testing.assert_allclose(target[..., :3], obs["image"] / 255.0 - 0.5, atol=1e-6)
    expected = -0.5 * np.square(np.asarray(decoder.picture(feat)) - np.asarray(target)).sum(
        (-3, -2, -1)
    )
    np.testing.assert_allclose(decoder.log_probs(feat, obs)["image"], expected, rtol=1e-4)


def test_sizes_are_the_published_ones():
    shapes = nnx.eval_shape(lambda: WorldModel(ModelConfig(), VISION, rngs=nnx.Rngs(0), dtype=F32))
    assert shapes.encoder.size == 1024 and ModelConfig().feat_dim == 230
    assert [conv.kernel.shape for conv in shapes.decoder.convs] == [
        (5, 5, 1024, 128),
        (5, 5, 128, 64),
        (6, 6, 64, 32),
        (6, 6, 32, 3),
    ]


def modules(seed: int = 0, embed: int = 5) -> tuple[Transition, Posterior]:
    rngs = nnx.Rngs(seed)
    return Transition(MODEL, 2, rngs=rngs, dtype=F32), Posterior(MODEL, embed, rngs=rngs, dtype=F32)


def test_observe_is_a_chain_of_corrections_that_episode_starts_cut():
    transition, posterior = modules()
    rng = np.random.default_rng(0)
    action, embed = (jnp.asarray(rng.normal(size=(2, 4, n)), jnp.float32) for n in (2, 5))
    noise = jnp.asarray(rng.normal(size=(2, 4, MODEL.stoch)), jnp.float32)
    first = jnp.zeros((2, 4), bool).at[1, 2].set(True)
    post = observe(transition, posterior, zero_latent(MODEL, (2,)), action, embed, first, noise)
    state = zero_latent(MODEL, (2,))
    for t in range(4):
        state = posterior.correct(
            transition, state, action[:, t], embed[:, t], first[:, t], noise[:, t]
        )
        np.testing.assert_allclose(post.feat[:, t], state.feat, rtol=1e-5, atol=1e-6)
    alone = posterior.correct(
        transition,
        zero_latent(MODEL, (1,)),
        jnp.zeros((1, 2)),
        embed[1:, 2],
        jnp.zeros(1, bool),
        noise[1:, 2],
    )
    np.testing.assert_allclose(post.feat[1, 2], alone.feat[0], rtol=1e-5, atol=1e-6)


def test_a_state_sees_the_action_before_it_and_not_the_one_after():
    config, env = DEBUG.model, LIDAR
    model = WorldModel(config, env, rngs=nnx.Rngs(0), dtype=F32)
    batch = {name: jnp.asarray(value) for name, value in replay_batch(env, 2, 6).items()}
    batch |= {"is_first": jnp.zeros((2, 6), bool)}
    base = model_loss(model, config, batch, jax.random.key(0))[1].post
    assert base.deter.shape == (2, 5, config.deter)  # 6 rows give 5 states
    changed = batch | {"action": batch["action"].at[:, 2].add(1.0)}
    other = model_loss(model, config, changed, jax.random.key(0))[1].post
    np.testing.assert_array_equal(base.deter[:, :2], other.deter[:, :2])  # rows 1 and 2
    assert (np.abs(base.deter[:, 2] - other.deter[:, 2]).max(-1) > 0).all()  # row 3


@pytest.mark.parametrize(
    "obs",
    [
        pytest.param("vision", marks=pytest.mark.slow),
        pytest.param("coordinates", marks=pytest.mark.slow),
        "lidar",
    ],
)
def test_the_loss_is_the_sum_of_its_terms_and_reaches_every_parameter(obs: str):
    env = ENVS[obs]
    model = WorldModel(MODEL, env, rngs=nnx.Rngs(0), dtype=F32)
    graph, batch = nnx.split(model)[0], replay_batch(env)
    params = params_of(model)

    def loss(p):
        return model_loss(
            nnx.merge(graph, p), dataclasses.replace(MODEL, free_nats=0.0), batch, jax.random.key(1)
        )

    (value, output), grads = jax.value_and_grad(loss, has_aux=True)(params)
    terms = [v for k, v in output.metrics.items() if k.endswith("_loss")]
    assert float(value) == pytest.approx(float(sum(terms)), rel=1e-5)
    norms = [float(jnp.abs(g).max()) for g in jax.tree.leaves(grads)]
    # Tiny layers may have dead ReLU units.
    assert all(np.isfinite(norms)) and sum(n > 0 for n in norms) >= len(norms) - 2


def latent(mean: float, std: float) -> Latent:
    ones = jnp.ones((1, 2, 1))
    return Latent(ones, ones, mean * ones, std * ones)


def test_balanced_kl_by_hand():
    # KL(N(2, 1) || N(0, 1)) = 2 in each step: 1 free nat leaves 2; 3 free nats give 3, no gradient.
    prior = (jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1)))
    assert float(balanced_kl(latent(2.0, 1.0), prior, 0.8, 1.0)) == pytest.approx(2.0)
    assert float(balanced_kl(latent(2.0, 1.0), prior, 0.8, 3.0)) == pytest.approx(3.0)
    of_prior = jax.grad(
        lambda m: balanced_kl(latent(2.0, 1.0), (m * prior[1], prior[1]), 0.8, 1.0)
    )(0.0)
    of_post = jax.grad(lambda m: balanced_kl(latent(m, 1.0), prior, 0.8, 1.0))(2.0)
    np.testing.assert_allclose([of_prior, of_post], [0.8 * -2.0, 0.2 * 2.0], rtol=1e-5)
    assert float(jax.grad(lambda m: balanced_kl(latent(m, 1.0), prior, 0.8, 3.0))(2.0)) == 0.0


def test_free_nats_hold_for_the_mean_of_the_batch_not_for_each_step():
    # KLs of 8 and 0 have mean 4: above 3 nats, so nothing is clamped.
    post = latent(1.0, 1.0)._replace(mean=jnp.array([[[4.0], [0.0]]]))
    assert float(
        balanced_kl(post, (jnp.zeros((1, 2, 1)), jnp.ones((1, 2, 1))), 0.8, 3.0)
    ) == pytest.approx(4.0)


def test_costly_steps_count_as_often_as_the_weight_says():
    # logit 0: ln 2 for every step; costs of 1 and 2 are costly, 0 and 0.5 are not.
    got = weighted_cost_log_prob(jnp.zeros(4), jnp.array([0.0, 0.5, 1.0, 2.0]), 100.0)
    np.testing.assert_allclose(got, -np.log(2.0) * np.array([1, 1, 100, 100]), rtol=1e-6)


def test_models_imagine_their_own_trajectories_and_costs_count_simulator_steps():
    env, rngs = LIDAR, nnx.Rngs(0)
    dynamics = Dynamics(MODEL, env.action_dim, rngs=rngs, dtype=F32)
    actor = Actor(MODEL.feat_dim, env.action_dim, DEBUG.actor, rngs=rngs, dtype=F32)
    graph, params = nnx.split(dynamics)[0], params_of(dynamics)
    params["reward_head"]["out"]["bias"] = jnp.array([1.0])
    models = jax.tree.map(lambda x: jnp.stack([x, x, 0.0 * x]), params)
    start, sizes = (
        zero_latent(MODEL, (7,)),
        {"horizon": 4, "action_repeat": env.action_repeat, "action_dim": env.action_dim},
    )
    traj = imagine(graph, models, actor, start, jax.random.key(0), **sizes)
    assert traj.feat.shape == (
        4,
        3,
        7,
        MODEL.feat_dim,
    ) and traj.reward.shape == traj.cost.shape == traj.terminal.shape == (
        4,
        3,
        7,
    )
    np.testing.assert_allclose(traj.reward[:, 2], 0.0)  # the model with all parameters zero
    np.testing.assert_allclose(traj.cost[:, 2], env.action_repeat * 0.5)
    assert float(jnp.abs(traj.reward[:, :2] - 1.0).mean()) < 0.9
    # equal models with the same noise
    np.testing.assert_allclose(traj.feat[:, 0], traj.feat[:, 1], atol=1e-6)
    published = imagine(graph, models, actor, start, jax.random.key(0), own_noise=True, **sizes)
    assert float(jnp.abs(published.feat[:, 0] - published.feat[:, 1]).max()) > 0.1


def test_actor_starts_wide_and_its_mode_is_the_densest_sample():
    actor = Actor(3, 2, ActorConfig(units=8, layers=1, init_std=2.0), rngs=nnx.Rngs(0), dtype=F32)
    mean, std = actor(jnp.zeros((4, 3)))
    np.testing.assert_allclose(mean, 0.0)
    np.testing.assert_allclose(std, 2.0 + 1e-4, rtol=1e-4)
    bounded = Actor(
        3, 2, ActorConfig(units=8, layers=1, init_std=2.0, max_std=2.5), rngs=nnx.Rngs(0), dtype=F32
    )
    np.testing.assert_allclose(
        bounded(jnp.zeros((4, 3)))[1], 2.5 * np.tanh(2.0001 / 2.5), rtol=1e-4
    )
    narrow = Actor(3, 2, ActorConfig(units=8, layers=1, init_std=0.05), rngs=nnx.Rngs(0), dtype=F32)
    feat = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3)), jnp.float32)
    mode = narrow.mode(feat, jax.random.key(0))
    assert mode.shape == (4, 2)
    np.testing.assert_allclose(mode, np.tanh(narrow(feat)[0]), atol=0.05)
    np.testing.assert_allclose(
        actor.sample(feat, jnp.zeros((4, 2))), np.tanh(actor(feat)[0]), rtol=1e-6
    )


def test_critic_loss_is_half_the_squared_error_and_touches_the_critic_only():
    critic = Critic(3, CriticConfig(units=4, layers=1), rngs=nnx.Rngs(0))
    feat, target = jnp.ones((2, 5, 3)), jnp.full((2, 5), 2.0)
    value, everywhere = critic(feat), jnp.ones(5)
    np.testing.assert_allclose(
        critic_loss(critic, feat, target, everywhere),
        0.5 * np.square(value - 2.0).mean(),
        rtol=1e-5,
    )
    assert (
        float(jnp.abs(jax.grad(lambda f: critic_loss(critic, f, target, everywhere))(feat)).max())
        == 0.0
    )


def test_the_limit_is_that_of_an_episode_that_just_keeps_it():
    config = LambdaConfig(cost_limit=25.0)
    assert config.imagined_limit(500) == pytest.approx(10.0)  # 0.05 a step at a discount of 0.995
    assert dataclasses.replace(config, limit_scale="raw").imagined_limit(500) == 25.0
    with pytest.raises(ValueError, match=r"use imagined"):
        LambdaConfig(augmented=dataclasses.replace(config.augmented, driven_by="episode"))
