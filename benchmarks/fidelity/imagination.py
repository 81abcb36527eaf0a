"""Checks rewards, values, returns, losses and multipliers on the recorded imagined batch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from agents.lagrangian import update_augmented
from agents.returns import discount_weights
from agents.safedreamer.actor_critic import critic_loss
from agents.safedreamer.imagine import Trajectory
from agents.safedreamer.tracking import untracked
from benchmarks.fidelity.model import sample_row
from benchmarks.fidelity.recording import Recording
from benchmarks.fidelity.report import Row, compare


def check_latents(rec: Recording) -> list[Row]:
    """Check imagined deter and prior, given the release's samples and actions at each step.

    Recorded actions and stoch are checked as samples of our distributions.
    """
    ref, rssm, actor = rec.arrays, rec.nets.model.rssm, rec.nets.actor
    imagined, action = rec.latent("imag"), jnp.asarray(ref["imag_action"])
    deters = [imagined.deter[0]]
    for h in range(action.shape[0] - 1):
        deters.append(rssm.next_deter(deters[-1], imagined.stoch[h], action[h]))
    deter = jnp.stack(deters)
    logit = jnp.log(rssm.prior_probs(deter[1:]))
    mean, std = actor(imagined.feat)
    z = np.abs(np.asarray((action - mean) / std))
    spread = float(np.sqrt(np.mean(z**2)))
    # Chi-square with z.size degrees of freedom, within 4.5 of its standard deviations.
    tolerance = 4.5 / np.sqrt(2 * z.size)
    return [
        compare("imag_deter", deter, ref["imag_deter"]),
        compare("imag_logit", logit, ref["imag_logit"][1:]),
        sample_row("imag_stoch", ref["imag_stoch"][1:], logit),
        Row(
            "imag_action",
            action.shape,
            0.0,
            0.0,
            abs(spread - 1) < tolerance,
            f"sample; rms {spread:.3f} of our sd",
        ),
    ]


def check_losses(rec: Recording) -> list[Row]:
    """Check all quantities that the first update computes on the imagined batch."""
    ref, nets, agent = rec.arrays, rec.nets, rec.agent
    config, state = agent.config, rec.state
    discount = config.imagination.discount
    belief = untracked(rec.latent("imag"))
    feat = belief.feat
    start_cont = 1.0 - rec.batch["is_terminal"].reshape(-1)
    cont = jnp.concatenate([start_cont[None], nets.model.cont(feat[1:])], 0)
    traj = Trajectory(belief, feat, jnp.asarray(ref["imag_action"]), cont)
    weight = discount_weights(cont, discount)
    rewards, costs, norm, terms = agent.learner.objective(nets, state, traj)
    computed: dict[str, jax.Array] = {
        "imag_cont": cont,
        "imag_weight": weight,
        "imag_reward": rewards.reward,
        "imag_value": rewards.value[:-1],
        "imag_return": rewards.ret,
        "retnorm_low": norm.low,
        "retnorm_high": norm.high,
    }
    if costs is not None:
        computed |= {
            "imag_cost": costs.reward,
            "imag_cost_value": costs.value[:-1],
            "imag_cost_return": costs.ret,
        }
    computed["actor_loss"] = terms.loss
    if config.actor_multiplier == "augmented":
        after = update_augmented(config.augmented, state.augmented, terms.excess)
        computed |= {
            "actor_penalty": terms.penalty,
            "actor_lagrange_multiplier": after.multiplier,
            "actor_penalty_multiplier": after.penalty,
        }
    slow = agent.networks(
        state.params._replace(critic=state.slow_critic, cost_critic=state.slow_cost_critic)
    )
    critics = {"critic_loss": (nets.critic, slow.critic, rewards)}
    if nets.cost_critic is not None and slow.cost_critic is not None and costs is not None:
        critics["cost_critic_loss"] = nets.cost_critic, slow.cost_critic, costs
    for name, (critic, slow_critic, returns) in critics.items():
        computed[name] = critic_loss(
            critic, slow_critic, feat[:-1], returns.ret, weight[:-1], config.critic.slow_scale
        )
    return [compare(name, value, ref[name]) for name, value in computed.items() if name in ref]
