"""The world model: latent dynamics against plain NumPy, loss terms by hand, dependencies along a
sequence.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from agents.api import ArraySpec, EnvSpec
from agents.nn.distributions import twohot_log_prob
from agents.nn.observations import image_keys, vector_keys
from agents.safedreamer.geometry import hazard_cost
from agents.safedreamer.model_loss import cost_weights, head_log_probs, kl_losses, model_loss
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import untracked
from agents.safedreamer.world_model import WorldModel
from agents.world_models import cost_confusion
from tests.agent_inputs import (
    HAZARDS,
    LIDAR,
    VECTOR,
    VISION,
    as_float,
    replay_batch,
    shaken,
    tiny,
)

CONFIG = tiny("bsrp_lag").model


def perturbed(config=CONFIG, env=VECTOR) -> WorldModel:
    return shaken(WorldModel(config, env, rngs=nnx.Rngs(0), dtype=jnp.dtype("float32")))


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return perturbed()


@pytest.fixture(scope="module")
def batch() -> dict[str, jax.Array]:
    return {name: jnp.asarray(x) for name, x in replay_batch(VECTOR).items()}


@pytest.fixture(scope="module")
def observe(model: WorldModel):
    """Jitted function (batch, key) -> (posterior, prior logits)."""
    return jax.jit(
        lambda b, key: model.rssm.observe(model.encoder(b), b["action"], b["is_first"], key)
    )


def loss_of(model: WorldModel, batch: dict[str, jax.Array], **changes: object):
    """Loss, metrics and posterior of the same parameters under changed settings."""
    graph, params = nnx.split(model)
    model = nnx.merge(graph, params)
    model.config = dataclasses.replace(model.config, **changes)  # pyright: ignore[reportArgumentType]
    loss, output = jax.jit(lambda b: model_loss(model, b, jax.random.key(1)))(batch)
    return (
        float(loss),
        {name.removeprefix("model/"): float(x) for name, x in output.metrics.items()},
        output.belief.latent,
    )


# Dynamics


def test_gru_step_is_the_specifications(model: WorldModel):
    rng = np.random.default_rng(1)
    deter, action = (
        rng.normal(size=(3, CONFIG.deter)),
        np.array([[0.5, -3.0], [2.0, 0.1], [-1.0, 1.0]]),
    )
    stoch = np.eye(CONFIG.classes)[rng.integers(0, CONFIG.classes, (3, CONFIG.stoch))]

    def norm(x, layer):
        centred = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-3)
        return centred * np.asarray(layer.scale[...]) + np.asarray(layer.bias[...])

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    rssm = model.rssm
    clipped = np.array([[0.5, -1.0], [1.0, 0.1], [-1.0, 1.0]])  # divided by max(1, |a|)
    x = norm(
        np.concatenate([stoch.reshape(3, -1), clipped], -1)
        @ np.asarray(rssm.img_in.linear.kernel[...]),
        rssm.img_in.norm,
    )
    x = x * sigmoid(x)
    gates = norm(np.concatenate([deter, x], -1) @ np.asarray(rssm.gru.kernel[...]), rssm.gru_norm)
    reset, candidate, update = np.split(gates, 3, -1)
    update = sigmoid(update - 1)
    expected = update * np.tanh(sigmoid(reset) * candidate) + (1 - update) * deter
    got = rssm.next_deter(*(jnp.asarray(v, jnp.float32) for v in (deter, stoch, action)))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_posterior_is_split_without_change(model: WorldModel):
    """The embedding's matrix product is hoisted out of the scan.

    Added to the product of deter it equals one dense block of [deter, embed].
    """
    rng = np.random.default_rng(2)
    deter, embed = (
        jnp.asarray(rng.normal(size=(3, n)), jnp.float32)
        for n in (CONFIG.deter, model.encoder.size)
    )
    rssm = model.rssm
    raw = rssm.obs_stats(rssm.obs_out(jnp.concatenate([deter, embed], -1))).reshape(
        3, CONFIG.stoch, CONFIG.classes
    )
    probs = 0.99 * jax.nn.softmax(raw) + 0.01 / CONFIG.classes
    np.testing.assert_allclose(
        rssm.posterior_probs(deter, rssm.embed_part(embed)), probs, rtol=1e-4
    )


def test_initial_state(model: WorldModel):
    initial = model.rssm.initial(2)
    np.testing.assert_allclose(
        initial.deter, np.tile(np.tanh(model.rssm.initial_deter[...]), (2, 1)), rtol=1e-6
    )
    np.testing.assert_array_equal(
        initial.stoch.argmax(-1), model.rssm.prior_probs(initial.deter).argmax(-1)
    )
    assert float(jnp.exp(initial.logit).min()) >= 0.01 / CONFIG.classes * 0.999  # the unimix floor


def test_the_past_is_irrelevant_after_is_first(observe, batch):
    start = 3
    first = batch["is_first"].at[:, start].set(True)
    changed = {
        **batch,
        "is_first": first,
        "observation": batch["observation"].at[:, :start].add(1.0),
        "action": batch["action"].at[:, :start].set(-batch["action"][:, :start]),
    }
    key = jax.random.key(0)
    before, after = observe({**batch, "is_first": first}, key), observe(changed, key)
    for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after)):
        np.testing.assert_array_equal(a[:, start:], b[:, start:])
    assert not np.allclose(before[0].deter[:, 1:start], after[0].deter[:, 1:start])


def test_without_is_first_the_past_matters(observe, batch):
    none = {**batch, "is_first": jnp.zeros_like(batch["is_first"])}
    changed = {**none, "action": none["action"].at[:, 1].set(-none["action"][:, 1])}
    key = jax.random.key(0)
    before, after = observe(none, key)[0].deter, observe(changed, key)[0].deter
    # An action changes the next state, not its own.
    np.testing.assert_array_equal(before[:, :2], after[:, :2])
    assert not np.allclose(before[:, 2], after[:, 2])


def test_every_sequence_starts_from_the_learned_state(model, observe, batch):
    none = {**batch, "is_first": jnp.zeros_like(batch["is_first"])}
    marked = {**none, "is_first": none["is_first"].at[:, 0].set(True)}
    key = jax.random.key(0)
    np.testing.assert_array_equal(observe(none, key)[0].deter, observe(marked, key)[0].deter)
    initial = model.rssm.initial(3)
    expected = model.rssm.next_deter(initial.deter, initial.stoch, jnp.zeros((3, 2)))
    np.testing.assert_allclose(observe(none, key)[0].deter[:, 0], expected, rtol=1e-5, atol=1e-6)


# Loss


def test_kl_losses_by_hand():
    post, prior = (
        jnp.log(jnp.array([[[0.9, 0.1], [0.8, 0.2]]])),
        jnp.log(jnp.array([[[0.1, 0.9], [0.2, 0.8]]])),
    )
    kl = 0.8 * np.log(9) + 0.6 * np.log(4)  # summed over both variables; above one nat
    np.testing.assert_allclose(kl_losses(post, prior, 1.0), [[kl], [kl]], rtol=1e-5)
    np.testing.assert_allclose(kl_losses(post, post, 1.0), [[1.0], [1.0]], rtol=1e-6)


def test_log_probs_by_hand(model: WorldModel, batch):
    feat = jnp.asarray(np.random.default_rng(3).normal(size=(3, 6, model.feat_dim)), jnp.float32)
    got = head_log_probs(model, feat, batch)
    assert set(got) == {"observation", "reward", "cont", "cost"}
    squared = np.square(
        np.asarray(model.decoder(feat)["observation"]) - np.asarray(batch["observation"])
    ).sum(-1)
    np.testing.assert_allclose(got["observation"], -squared, rtol=1e-4)
    alive = 1 / (1 + np.exp(-np.asarray(model.cont_head(feat)[..., 0])))
    np.testing.assert_allclose(
        got["cont"], np.log(np.where(batch["is_terminal"], 1 - alive, alive)), rtol=1e-4
    )
    np.testing.assert_allclose(
        got["cost"], twohot_log_prob(model.cost_head(feat), batch["cost"]), rtol=1e-5
    )


def test_loss_is_the_weighted_sum_of_its_terms(model: WorldModel, batch):
    plain = {"cost_weight": 1.0, "dyn_scale": 1.0, "rep_scale": 1.0, "vector_scale": 1.0}
    base, terms, post = loss_of(model, batch, **plain)
    names = ("observation", "reward", "cont", "cost", "dyn", "rep")
    assert base == pytest.approx(sum(terms[f"{name}_loss"] for name in names), rel=1e-5)
    # Equal values, different gradients.
    assert terms["dyn_loss"] == pytest.approx(terms["rep_loss"], rel=1e-5)
    logp = head_log_probs(model, post.feat, batch)
    for name in ("observation", "reward", "cont", "cost"):
        assert terms[f"{name}_loss"] == pytest.approx(-float(logp[name].mean()), rel=1e-4)
    # The cost term is weighted by `cost_weight` where cost >= 1.
    costly = float(-(logp["cost"] * (batch["cost"] >= 1)).mean())
    weighted, _, _ = loss_of(model, batch, **(plain | {"cost_weight": 10.0}))
    assert weighted - base == pytest.approx(9 * costly, rel=1e-3)
    scaled, _, _ = loss_of(
        model, batch, **(plain | {"dyn_scale": 0.5, "rep_scale": 0.1, "vector_scale": 5.0})
    )
    expected = base - (0.5 + 0.9) * terms["dyn_loss"] + 4 * terms["observation_loss"]
    assert scaled == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_rare_costs_keep_their_share_of_the_cost_heads_loss():
    cost = jnp.zeros((2, 10)).at[0, 3].set(5.0).at[1, 7].set(1.0)
    # 2 of 20 rows: 0.5 / (1 - 0.5) * 18 / 2
    assert cost_weights(cost, 3.0, 0.5)[0, 3] == 9.0
    weights = cost_weights(cost, 1.0, 0.25)
    assert float(weights[cost >= 1].sum() / weights.sum()) == pytest.approx(0.25)
    assert (weights[cost < 1] == 1.0).all()
    assert cost_weights(cost, 10.0, 0.5)[1, 7] == 10.0  # never less than the fixed weight
    np.testing.assert_array_equal(cost_weights(cost, 3.0, 0.0), jnp.where(cost >= 1, 3.0, 1.0))
    none = jnp.zeros((2, 10))
    np.testing.assert_array_equal(cost_weights(none, 3.0, 0.5), jnp.ones((2, 10)))


def test_free_nats_stop_the_kl_gradient(model: WorldModel, batch):
    graph, params = nnx.split(model)

    def prior_gradient(**changes: float):
        def loss(p):
            m = nnx.merge(graph, p)
            m.config = dataclasses.replace(m.config, **changes)
            return model_loss(m, batch, jax.random.key(0))[0]

        return np.asarray(jax.jit(jax.grad(loss))(params)["rssm"]["img_stats"]["bias"][...])

    # Nothing but the KL reaches the prior's last layer: the mode of the learned initial state
    # passes no gradient.
    np.testing.assert_array_equal(prior_gradient(dyn_scale=0.0, rep_scale=0.0), 0.0)
    np.testing.assert_array_equal(prior_gradient(free_nats=1e6), 0.0)
    assert np.abs(prior_gradient(free_nats=0.0)).max() > 1e-3


def test_cost_confusion_by_hand():
    metrics = cost_confusion(jnp.array([[0.9, 0.6, 0.1, 0.2]]), jnp.array([[1.0, 0.0, 1.0, 0.0]]))
    assert {name: float(x) for name, x in metrics.items()} == pytest.approx(
        {
            "model/cost_precision": 0.5,
            "model/cost_recall": 0.5,
            "model/cost_predicted": 0.45,
            "model/cost_true": 0.5,
        }
    )


# Costs and observations


def test_hazard_cost_by_hand():
    # Two hazards at 0.25 m (counts) and 0.36 m (does not); both near; none.
    positions = jnp.array([[0.15, 0.2, 0.2, 0.3], [0.0, 0.1, 0.0, -0.1], [1.0, 1.0, -2.0, 0.0]])
    np.testing.assert_array_equal(hazard_cost(positions, 0.2500001), [1.0, 2.0, 0.0])


def test_soft_hazard_cost_by_hand():
    # Hazards at 0.2, 0.25, 0.35, 0.45 and 0.5 m: within the radius, a fifth and three fifths into
    # the soft margin, at its end, beyond it.
    positions = jnp.array([[0.2, 0.0], [0.0, 0.25], [-0.35, 0.0], [0.45, 0.0], [0.3, 0.4]])
    np.testing.assert_allclose(
        hazard_cost(positions, 0.2, 0.25), [1.0, 0.8, 0.4, 0.0, 0.0], atol=1e-6
    )
    np.testing.assert_allclose(hazard_cost(positions.reshape(-1), 0.2, 0.25), 2.2, rtol=1e-6)
    slope = jax.grad(lambda xy: hazard_cost(xy, 0.2, 0.25))(jnp.array([0.3, 0.0]))
    np.testing.assert_allclose(slope, [-4.0, 0.0], rtol=1e-4)
    assert np.isfinite(jax.grad(lambda xy: hazard_cost(xy, 0.2, 0.25))(jnp.zeros(2))).all()


def test_geometry_reads_the_named_slice_of_the_reconstruction():
    model = perturbed(dataclasses.replace(CONFIG, cost_source="geometry", hazard_radius=0.6))
    latent = model.rssm.initial(50)
    latent = latent._replace(
        deter=jnp.asarray(np.random.default_rng(4).normal(size=latent.deter.shape), jnp.float32)
    )
    assert model.cost_head is None
    positions = np.asarray(model.decoder(latent.feat)["observation"])[:, HAZARDS].reshape(50, 2, 2)
    expected = (np.hypot(positions[..., 0], positions[..., 1]) <= 0.6).sum(-1)
    np.testing.assert_array_equal(model.cost(untracked(latent)), expected)
    assert set(expected) == {0, 1, 2}
    # a count, at most 1
    np.testing.assert_array_equal(model.cost_probability(untracked(latent)), expected > 0)


def test_the_cost_heads_probability_is_that_of_its_own_bins():
    model = perturbed(CONFIG)
    latent = model.rssm.initial(50)
    latent = latent._replace(
        deter=jnp.asarray(np.random.default_rng(4).normal(size=latent.deter.shape), jnp.float32)
    )
    assert model.cost_head is not None
    probs = np.asarray(jax.nn.softmax(model.cost_head(latent.feat)))
    above = np.expm1(np.linspace(-20, 20, CONFIG.bins)) > 0.5
    np.testing.assert_allclose(
        model.cost_probability(untracked(latent)), probs[:, above].sum(-1), rtol=1e-5
    )


def test_without_a_cost_source_costs_are_zero():
    model = perturbed(dataclasses.replace(CONFIG, cost_source="none"))
    np.testing.assert_array_equal(model.cost(untracked(model.rssm.initial(3))), np.zeros(3))


@pytest.mark.parametrize(
    ("env", "lack"),
    [
        (LIDAR, "the observation holds no hazard positions"),
        (
            dataclasses.replace(VECTOR, costly=("buttons", "hazards", "gremlins")),
            "buttons and gremlins cost too",
        ),
        (dataclasses.replace(VECTOR, costly=("vases",)), "vases cost too"),
        (dataclasses.replace(VECTOR, costly=()), "the environment does not say that hazards cost"),
    ],
)
def test_geometry_needs_hazards_that_are_all_that_costs(env: EnvSpec, lack: str):
    with pytest.raises(ValueError, match=f"{lack}: use --model.cost-source head"):
        perturbed(dataclasses.replace(CONFIG, cost_source="geometry"), env)


def test_images_come_first_and_lie_around_zero():
    env = EnvSpec(
        {
            "pose": ArraySpec((3,), "float32"),
            "b": ArraySpec((64, 64, 3), "uint8"),
            "a": ArraySpec((64, 64, 3), "uint8"),
        },
        2,
        1,
        100,
    )
    assert image_keys(env.obs) == ("b", "a")  # the environment's order, not alphabetical
    assert vector_keys(env.obs) == ("pose",)
    model = perturbed(env=env)
    obs = {
        "pose": jnp.ones((1, 3)),
        "a": jnp.zeros((1, 64, 64, 3), jnp.uint8),
        "b": jnp.zeros((1, 64, 64, 3), jnp.uint8),
    }
    encode = jax.jit(model.encoder)
    embed = encode(obs)
    assert embed.shape == (1, 16 * 8 * CONFIG.conv_depth + CONFIG.vector_units)
    moved = encode({**obs, "pose": jnp.full((1, 3), 5.0)})
    np.testing.assert_array_equal(
        np.where(np.asarray(moved != embed)[0])[0] >= 16 * 8 * CONFIG.conv_depth, True
    )
    images = model.decoder.decode_images(jnp.zeros((2, model.feat_dim)))
    assert {name: x.shape for name, x in images.items()} == {
        "b": (2, 64, 64, 3),
        "a": (2, 64, 64, 3),
    }


@pytest.mark.slow
def test_images_train_the_encoder():
    config = tiny("bsrp_lag", "vision").model
    model = WorldModel(config, VISION, rngs=nnx.Rngs(0), dtype=jnp.dtype("float32"))
    graph, params = nnx.split(model)

    def loss(params: nnx.State, batch: dict[str, jax.Array]):
        return model_loss(nnx.merge(graph, params), batch, jax.random.key(0))

    batch = {name: jnp.asarray(x) for name, x in replay_batch(VISION, 2, 3).items()}
    gradient, output = jax.jit(jax.grad(loss, has_aux=True))(params, batch)
    metrics = as_float(output.metrics)
    assert all(np.isfinite(x) for x in metrics.values()), metrics
    # Noise in 0..1 against a mid-grey prediction: 1/12 to 1/4 for each of 64 * 64 * 3 values.
    assert 64 * 64 * 3 / 12 < metrics["model/image_loss"] < 64 * 64 * 3 / 2
    assert 0.0 < np.abs(gradient["encoder"]["convs"][0]["kernel"][...]).max() < np.inf


@pytest.mark.parametrize("shape", [(32, 32, 3), (64, 64), ()])
def test_unfit_observations_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ValueError, match="'camera' has shape"):
        perturbed(env=dataclasses.replace(VISION, obs={"camera": ArraySpec(shape, "uint8")}))


def test_feat_joins_both_latents():
    latent = Latent(jnp.ones((2, 3)), jnp.arange(8.0).reshape(2, 2, 2), jnp.zeros((2, 2, 2)))
    np.testing.assert_array_equal(latent.feat, [[1, 1, 1, 0, 1, 2, 3], [1, 1, 1, 4, 5, 6, 7]])
