"""Tests whether a policy can be stored in float16: its networks must give the same outputs on rows
of a real episode.

For SafeDreamer-family agents, heads are compared on the same latents instead of whole decisions,
because sampled latents and a planner's elites can depend on the last bit of any arithmetic.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from agents.api import Agent, PyTree
from agents.safedreamer.agent import Carry, SafeDreamer
from benchmarks.runs.policy_file import relative
from benchmarks.zoo.rows import Row


def half_error(agent: Agent, state: PyTree, halved: PyTree, rows: list[Row]) -> float:
    """Largest relative difference of a head between the two states: |there - here| / |here|, norms
    over all rows and outputs.
    """
    heads = _heads(agent)
    here, there = (
        jax.tree.map(lambda *parts: np.stack(parts), *(heads(some, row) for row in rows))
        for some in (state, halved)
    )
    return max(relative(here[name], there[name]) for name in here)


def _heads(agent: Agent) -> Any:
    if not isinstance(agent, SafeDreamer):
        return lambda state, row: {
            "action": np.asarray(
                agent.act(state, row.carry, row.obs, row.is_first, row.key, "eval")[0]
            )
        }

    @jax.jit
    def heads(params: Any, after: Carry, obs: dict[str, jax.Array]) -> dict[str, jax.Array]:
        nets = agent.networks(params)
        belief = nets.model.belief(after.latent, obs)
        view, feat = nets.model.view(belief), belief.feat
        mean, std = nets.actor(view)
        said = {
            "embed": nets.model.encoder(obs),
            "action": mean,
            "std": std,
            "value": nets.critic.value(view),
            "reward": nets.model.reward(feat),
            "cost": nets.model.cost(belief),
            "deter": nets.model.rssm.img_step(after.latent, after.action, None).deter,
        }
        said |= {f"obs.{name}": value for name, value in nets.model.decoder(feat).items()}
        return (
            said
            if nets.cost_critic is None
            else said | {"cost_value": nets.cost_critic.value(view)}
        )

    def of(state: PyTree, row: Row) -> dict[str, np.ndarray]:
        obs = {name: row.obs[name] for name in agent.env.obs}
        return jax.device_get(heads(state.params, row.after, obs))

    return of
