"""The latent model of Safe SLAC.

Its loss against a slow loop in NumPy, its shapes, and resets at episode starts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from baselines.safe_slac.config import LatentConfig
from baselines.safe_slac.latent import LatentModel
from baselines.safe_slac.losses import latent_loss
from baselines.safe_slac.windows import make_windows
from tests.agent_inputs import LIDAR, VISION, replay_batch

CONFIG = LatentConfig(z1=3, z2=4, feature=5, units=6, layers=1, conv_depth=2)


@pytest.fixture(scope="module")
def model() -> LatentModel:
    return LatentModel(CONFIG, LIDAR, rngs=nnx.Rngs(0))


def elu(x):
    return np.where(x > 0, x, np.expm1(x))


def mlp(net: Any, x: np.ndarray) -> np.ndarray:
    for layer in net.hidden:
        x = elu(x @ np.asarray(layer.kernel[...], np.float64) + np.asarray(layer.bias[...]))
    return x @ np.asarray(net.out.kernel[...], np.float64) + np.asarray(net.out.bias[...])


def gaussian(net: Any, *inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean, raw = np.split(mlp(net.mlp, np.concatenate(inputs)), 2)
    return mean, np.log1p(np.exp(raw)) + net.min_std


def log_normal(x, mean, std):
    return float(np.sum(-0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)))


def slow_loss(
    model: LatentModel, batch: dict[str, np.ndarray], noise: np.ndarray
) -> dict[str, float]:
    """The four loss terms listed in the docstring of `losses`, one window and one step at a time,
    in double precision.
    """
    terms = dict.fromkeys(("kl", "observation", "reward", "cost"), 0.0)
    rows, length = batch["reward"].shape
    for b in range(rows):
        z_before = a = np.zeros(0)
        for t in range(length):
            raw = batch["observation"][b, t].astype(np.float64)
            x = np.sign(raw) * np.log1p(np.abs(raw))
            f = elu(mlp(model.encoder.mlp, x))
            if t == 0 or batch["is_first"][b, t]:
                post, prior = gaussian(model.post1_first, f), (np.zeros(3), np.ones(3))
            else:
                z2 = z_before[3:]
                post, prior = gaussian(model.post1, f, z2, a), gaussian(model.prior1, z2, a)
            z1 = post[0] + post[1] * noise[t, b, :3]
            fresh = t == 0 or batch["is_first"][b, t]
            upper = (
                gaussian(model.level2_first, z1)
                if fresh
                else gaussian(model.level2, z1, z_before[3:], a)
            )
            z = np.concatenate([z1, upper[0] + upper[1] * noise[t, b, 3:]])
            terms["kl"] += np.sum(
                np.log(prior[1] / post[1])
                + (post[1] ** 2 + (post[0] - prior[0]) ** 2) / (2 * prior[1] ** 2)
                - 0.5
            )
            terms["observation"] -= log_normal(
                x, mlp(model.decoder.mlp, z), np.sqrt(CONFIG.vector_variance)
            )
            if not fresh:
                both = np.concatenate([z_before, a, z])
                mean, std = gaussian(model.reward, both)
                if not batch["is_terminal"][b, t]:
                    terms["reward"] -= log_normal(batch["reward"][b, t], mean, std)
                p = 1 / (1 + np.exp(-mlp(model.cost, both)[0]))
                terms["cost"] -= 30.0 * (
                    100.0 * np.log(p) if batch["cost"][b, t] > 0 else np.log(1 - p)
                )
            z_before, a = z, batch["action"][b, t].astype(np.float64)
    return {name: value / rows for name, value in terms.items()}


@pytest.mark.slow
def test_loss_matches_a_slow_reference(model):
    batch, key = replay_batch(LIDAR, 3, 4, seed=2), jax.random.key(5)
    windows = make_windows(
        {k: jnp.asarray(v) for k, v in batch.items()}, ("observation",), whole=False
    )
    loss, metrics = latent_loss(model, windows, key)
    want = slow_loss(
        model, batch, np.asarray(jax.random.normal(key, (4, 3, CONFIG.size)), np.float64)
    )
    for name, value in want.items():
        assert float(metrics[f"latent/{name}"]) == pytest.approx(value, rel=2e-4), name
    assert float(loss) == pytest.approx(sum(want.values()), rel=2e-4)


def test_a_window_starts_anew_where_an_episode_does(model):
    rng = np.random.default_rng(0)
    feature = rng.normal(size=(1, 4, 5)).astype(np.float32)
    action = rng.normal(size=(1, 4, 2)).astype(np.float32)
    first = jnp.array([[True, False, True, False]])
    changed = feature.copy()
    changed[:, :2] += 1.0
    key = jax.random.key(0)
    a = model.observe(jnp.asarray(feature), jnp.asarray(action), first, key)
    b = model.observe(jnp.asarray(changed), jnp.asarray(action), first, key)
    np.testing.assert_array_equal(a.latent.z[:, 2:], b.latent.z[:, 2:])
    assert not np.allclose(a.latent.z[:, :2], b.latent.z[:, :2])
    np.testing.assert_array_equal(a.prior.mean[:, 2], 0.0)
    np.testing.assert_array_equal(a.prior.std[:, 2], 1.0)
    assert not np.allclose(a.prior.std[:, 3], 1.0)


@pytest.mark.parametrize(("cameras", "channels"), [("first", 3), ("all", 6)])
def test_shapes_of_the_published_vision_model(cameras: Any, channels: int):
    config = LatentConfig(cameras=cameras)

    def shapes():
        model = LatentModel(config, VISION, rngs=nnx.Rngs(0))
        picture, vector = model.targets(
            {k: jnp.zeros((2, 64, 64, 3), jnp.uint8) for k in VISION.obs}
        )
        assert vector is None
        feature = model.encoder(picture, vector)
        mean, _ = model.decoder(jnp.zeros((2, config.size)))
        kernel = model.reward.mlp.hidden[0].kernel[...]
        return picture, feature, mean, kernel

    picture, feature, mean, kernel = jax.eval_shape(shapes)
    assert feature.shape == (2, 200)
    assert picture.shape == mean.shape == (2, 64, 64, channels)
    assert kernel.shape == (464 + 2, 256)


def test_the_deviation_of_rewards_has_its_floor():
    model = LatentModel(dataclasses.replace(CONFIG, reward_std_min=0.5), LIDAR, rngs=nnx.Rngs(0))
    assert float(model.reward(jnp.full((1, 2 * CONFIG.size + 2), -50.0)).std.min()) >= 0.5
