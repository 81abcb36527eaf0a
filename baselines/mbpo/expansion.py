"""Model-based value expansion (MVE, Feinberg et al. 2018, arXiv:1803.00101) of soft returns.

A real transition (z, a, r, z') is continued by H imagined steps of the policy from z'. Its target,
and in the TD-k form also that of each imagined pair, is the discounted sum of what follows,
bootstrapped with the target critics after the last step:

    q[t] = r[t] + g (1 - d[t]) v[t+1],   v[t] = q[t] - alpha log pi[t],   v[H] = value at the end

for t = 0..H-1, and r + g (1 - d) v[0] for the real pair. H = 0 gives SAC's target. The entropy
term is ours: the paper expands the returns of DDPG. Costs are expanded without it.

Shapes: H imagined steps, N rows.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from baselines.mbpo.rollouts import Rollouts
from baselines.sac.actor_critic import td_target
from baselines.sac.update import Targets, Transitions


def expanded_returns(
    reward: jax.Array,
    terminal: jax.Array,
    bonus: jax.Array,
    value: jax.Array,
    discount: float,
) -> tuple[jax.Array, jax.Array]:
    """q [H, N] of the imagined pairs and v [N] of the first state.

    reward, terminal and bonus (-alpha log pi, or 0) [H, N]; `value` [N] bootstraps.
    """

    def backward(following, inputs):
        r, d, b = inputs
        q = r + discount * (1.0 - d) * following
        return q + b, q

    first, q = jax.lax.scan(backward, value, (reward, terminal, bonus), reverse=True)
    return q, first


def expand(
    data: Transitions,
    imagined: Rollouts,
    values: tuple[jax.Array, jax.Array],
    temperature: jax.Array,
    discounts: tuple[float, float],
    td_k: bool,
) -> Targets:
    """Targets of the real pairs and, with `td_k`, of the imagined ones.

    `values` [N] of return (including entropy) and cost bootstrap the imagined steps from
    `data.z_next`; `discounts` are for return and cost.
    """
    steps = imagined.data
    bonus = -temperature * imagined.log_prob
    no_bonus = jnp.zeros_like(bonus)
    q, v = expanded_returns(steps.reward, steps.terminal, bonus, values[0], discounts[0])
    cost_q, cost_v = expanded_returns(steps.cost, steps.terminal, no_bonus, values[1], discounts[1])
    real = Targets(
        data.z,
        data.action,
        td_target(data.reward, data.terminal, v, discounts[0]),
        td_target(data.cost, data.terminal, cost_v, discounts[1]),
        data.weight,
    )
    if not td_k:
        return real
    dreamt = Targets(steps.z, steps.action, q, cost_q, steps.weight)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), dreamt)
    return jax.tree.map(lambda a, b: jnp.concatenate([a, b]), real, flat)
