"""Checks world model, actor and critics on the recorded batch, with the release's sampled latents
as input at each step.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from agents.nn.distributions import normal_entropy
from agents.safedreamer.model_loss import head_log_probs, kl_losses
from agents.safedreamer.rssm import Latent
from agents.safedreamer.tracking import untracked
from benchmarks.fidelity.recording import Recording
from benchmarks.fidelity.report import Row, compare

# maximum deviation of a sample's log-likelihood from its expectation, in standard deviations
MAX_Z = 4.5


def teacher_forced_posterior(
    rec: Recording,
) -> tuple[jax.Array, Latent, jax.Array, Latent]:
    """Embedding, posterior [B, T, ...], prior's logits and initial latent, each step computed from
    our previous deter and the release's sampled stoch.
    """
    batch, rssm = rec.batch, rec.nets.model.rssm
    obs = {k: batch[k] for k in rec.agent.env.obs}
    embed = rec.nets.model.encoder(obs)
    initial = rssm.initial(embed.shape[0])
    deter, stoch, action = initial.deter, initial.stoch, jnp.zeros_like(batch["action"][:, 0])
    deters = []
    for t in range(embed.shape[1]):
        first = batch["is_first"][:, t]
        deter = jnp.where(first[:, None], initial.deter, deter)
        stoch = jnp.where(first[:, None, None], initial.stoch, stoch)
        action = jnp.where(first[:, None], 0.0, action)
        deter = rssm.next_deter(deter, stoch, action)
        deters.append(deter)
        stoch, action = rec.latent("post").stoch[:, t], batch["action"][:, t]
    deter = jnp.stack(deters, 1)
    post_logit = jnp.log(rssm.posterior_probs(deter, rssm.embed_part(embed)))
    post = Latent(deter, rec.latent("post").stoch, post_logit)
    return embed, post, jnp.log(rssm.prior_probs(deter)), initial


def sample_row(name: str, onehot: np.ndarray, logit: jax.Array) -> Row:
    """Test whether recorded one-hots are plausible samples of our distribution.

    Compares their log-likelihood with its expectation, in standard deviations.
    """
    log_probs = np.asarray(jax.nn.log_softmax(logit, -1), np.float64)
    probs = np.exp(log_probs)
    mean = (probs * log_probs).sum(-1)
    variance = (probs * log_probs**2).sum(-1) - mean**2
    z = abs((onehot * log_probs).sum() - mean.sum()) / np.sqrt(variance.sum())
    note = f"sample; log-likelihood {z:.1f} sd from expectation"
    return Row(name, onehot.shape, 0.0, 0.0, bool(z < MAX_Z), note)


def check_model(rec: Recording) -> list[Row]:
    """Check encoder, initial state, posterior, prior, heads, likelihoods and KL terms."""
    ref, model, batch = rec.arrays, rec.nets.model, rec.batch
    embed, post, prior_logit, initial = teacher_forced_posterior(rec)
    rows = [
        compare("embed", embed, ref["embed"]),
        compare("initial_deter", initial.deter, ref["initial_deter"]),
        compare("initial_stoch", initial.stoch, ref["initial_stoch"]),
        compare("post_deter", post.deter, ref["post_deter"]),
        compare("post_logit", post.logit, ref["post_logit"]),
        sample_row("post_stoch", ref["post_stoch"], post.logit),
        compare("prior_deter", post.deter, ref["prior_deter"]),
        compare("prior_logit", prior_logit, ref["prior_logit"]),
        sample_row("prior_stoch", ref["prior_stoch"], prior_logit),
    ]
    feat = post.feat
    preds = {f"pred_{k}": v for k, v in model.decoder(feat).items()}
    preds["pred_reward"] = model.reward(feat)
    preds["pred_cont"] = jax.nn.sigmoid(model.cont_head(feat)[..., 0])
    if model.cost_head is not None:
        preds["pred_cost"] = model.cost(untracked(post))
    logp = {f"logprob_{k}": v for k, v in head_log_probs(model, feat, batch).items()}
    dyn, rep = kl_losses(post.logit, prior_logit, model.config.free_nats)
    computed = preds | logp | {"dyn_loss": dyn, "rep_loss": rep}
    return rows + [
        compare(name, value, ref[name]) for name, value in computed.items() if name in ref
    ]


def check_behaviour(rec: Recording) -> list[Row]:
    """Check actor and critics on the flattened posterior."""
    ref, nets = rec.arrays, rec.nets
    feat = rec.latent("post").feat.reshape(-1, nets.model.feat_dim)
    mean, std = nets.actor(feat)
    slow = rec.agent.networks(rec.state.params._replace(critic=rec.state.slow_critic)).critic
    computed = {
        "actor_mean": mean,
        "actor_std": std,
        "actor_entropy": normal_entropy(std),
        "critic_mean": nets.critic.value(feat),
        "critic_slow_mean": slow.value(feat),
    }
    if nets.cost_critic is not None:
        computed["cost_critic_mean"] = nets.cost_critic.value(feat)
    return [compare(name, value, ref[name]) for name, value in computed.items() if name in ref]
