"""Loss of the latent model.

Negative evidence bound of windows, with rewards and costs (arXiv:2210.01801 and its code;
docs/concepts/safe_slac.md#latent-model).

    J = sum_t KL(q(z1_t) || p(z1_t)) - sum_t log p(x_t | z_t) - sum_t (1 - done_t) log p(r_t | z_t,
    a_t, z_{t+1})
        - 30 sum_t [100 y_t log p_t + (1 - y_t) log(1 - p_t)],     y_t = 1 if c_t > 0

Each term is summed over time and averaged over windows. Shapes: B windows, T frames.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from agents.nn.distributions import bernoulli_log_prob
from agents.nn.gaussian import normal_kl, normal_log_density
from baselines.sac.update import weighted_mean
from baselines.safe_slac.latent import LatentModel
from baselines.safe_slac.windows import Windows


def cost_log_prob(logit: jax.Array, cost: jax.Array, positive: float) -> jax.Array:
    """Log-likelihood of "has a cost" for each transition, times `positive` where it has one.

    Computed from logits: the release adds 1e-6 to probabilities instead, which differs where its
    gradient would vanish.
    """
    costs = (cost > 0).astype(jnp.float32)
    return (1.0 + (positive - 1.0) * costs) * bernoulli_log_prob(logit, costs)


def latent_loss(
    model: LatentModel, windows: Windows, key: jax.Array
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """J over the windows and its terms as metrics."""
    config = model.config
    picture, vector = model.targets(windows.obs)
    steps = model.observe(model.encoder(picture, vector), windows.action, windows.is_first, key)
    z = steps.latent.z
    transition = jnp.concatenate([z[:, :-1], windows.action[:, :-1], z[:, 1:]], -1)
    reward = model.reward(transition)
    reward_log_prob = normal_log_density(windows.reward, reward.mean[..., 0], reward.std[..., 0])
    cost = cost_log_prob(model.cost(transition)[..., 0], windows.cost, config.cost_positive)
    terms = {
        "kl": normal_kl(*steps.post, *steps.prior).sum(1),
        "observation": -model.decoder.log_prob(z, picture, vector).sum(1),
        "reward": -(windows.weight * (1.0 - windows.terminal) * reward_log_prob).sum(1),
        "cost": -config.cost_scale * (windows.weight * cost).sum(1),
    }
    means = {name: weighted_mean(term, windows.kept) for name, term in terms.items()}
    loss = sum(means.values(), start=jnp.zeros(()))
    metrics = {f"latent/{name}": value for name, value in means.items()}
    return loss, metrics | {"latent/loss": loss, "latent/reward_std": reward.std.mean()}
