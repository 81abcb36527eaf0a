"""Loads a recorded agent folder of the release (`checkpoint`, `arrays.npz`, `config.json`) into our
agent.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.api import ArraySpec, EnvSpec
from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.config import (
    ActorConfig,
    CriticConfig,
    ImaginationConfig,
    ModelConfig,
    OptimizerConfig,
    SafeDreamerConfig,
)
from agents.safedreamer.learner import AgentState
from agents.safedreamer.networks import Networks
from agents.safedreamer.planner_config import PlannerConfig
from agents.safedreamer.release.checkpoint import infer_sizes, load_official
from agents.safedreamer.release.params import agent_state, model_config
from agents.safedreamer.rssm import Latent
from agents.settings import AugmentedConfig, PIDConfig
from benchmarks.fidelity.arrays import load_arrays
from benchmarks.runs.reading import read_object

# Indices that the release, without a cost head, reads as hazard positions in its coordinate
# observation, whatever the task.
RELEASE_HAZARDS = slice(9, 25)


@dataclasses.dataclass(frozen=True)
class Recording:
    """The release's arrays, and our agent with the same parameters."""

    arrays: Mapping[str, np.ndarray]
    agent: SafeDreamer
    state: AgentState

    @property
    def nets(self) -> Networks:
        return self.agent.networks(self.state.params)

    @property
    def batch(self) -> dict[str, jax.Array]:
        """The input batch [B, T, ...], keyed without the prefix `data_`."""
        return {
            k.removeprefix("data_"): jnp.asarray(v)
            for k, v in self.arrays.items()
            if k.startswith("data_")
        }

    def latent(self, prefix: str) -> Latent:
        """Recorded latent, such as `post` [B, T, ...] or `imag` [H+1, N, ...]."""
        return Latent(
            *(jnp.asarray(self.arrays[f"{prefix}_{name}"]) for name in ("deter", "stoch", "logit"))
        )


def _optimizer(flat: Mapping[str, Any], prefix: str) -> OptimizerConfig:
    return OptimizerConfig(flat[f"{prefix}.lr"], flat[f"{prefix}.eps"], flat[f"{prefix}.clip"])


def translate_config(flat: Mapping[str, Any], sizes: Mapping[str, Any]) -> SafeDreamerConfig:
    """Translate a flat `config.json` of the release to our configuration.

    Network sizes come from the checkpoint's arrays.
    """
    model = ModelConfig(
        unimix=flat["rssm.unimix"],
        free_nats=flat["dyn_loss.free"],
        dyn_scale=flat["loss_scales.dyn"],
        rep_scale=flat["loss_scales.rep"],
        image_scale=flat["loss_scales.image"],
        vector_scale=flat["loss_scales.vector"],
        cost_weight=flat["cost_weight"],
        cost_source="geometry" if flat["use_cost"] and not flat["use_cost_model"] else "head",
        optimizer=_optimizer(flat, "model_opt"),
    )
    return SafeDreamerConfig(
        multiplier="augmented" if sizes["lagrange"] else "none",
        cost_limit=flat["cost_limit"],
        pessimistic=flat["pessimistic"],
        model=model_config(sizes, model),
        actor=ActorConfig(
            flat["actor.minstd"],
            flat["actor.maxstd"],
            flat["actent"],
            optimizer=_optimizer(flat, "actor_opt"),
        ),
        critic=CriticConfig(
            flat["slow_critic_fraction"],
            flat["loss_scales.slowreg"],
            _optimizer(flat, "critic_opt"),
        ),
        imagination=ImaginationConfig(
            flat["imag_horizon"],
            flat["return_lambda"],
            flat["horizon"],
            norm_decay=flat["retnorm.decay"],
        ),
        planner=PlannerConfig(
            horizon=flat["planner.horizon"],
            candidates=flat["planner.num_samples"],
            elites=flat["planner.num_elites"],
            iterations=flat["planner.iterations"],
            actor_fraction=flat["planner.mixture_coef"],
            momentum=flat["planner.momentum"],
            init_std=flat["planner.init_std"],
            temperature=flat["planner.temperature"],
        ),
        pid=PIDConfig(),
        augmented=AugmentedConfig(
            flat["lagrange_multiplier_init"], flat["penalty_multiplier_init"]
        ),
    )


def observed(
    arrays: Mapping[str, np.ndarray], flat: Mapping[str, Any], sizes: Mapping[str, Any]
) -> dict[str, ArraySpec]:
    """Inputs of the encoder in the recorded order, in which it concatenates them.

    Images that match the configured pattern, and the vectors that the checkpoint reconstructs;
    other `data_*` arrays are rewards, flags, or unused observations.
    """
    specs = {}
    for name, array in arrays.items():
        key, shape = name.removeprefix("data_"), array.shape[2:]
        image = len(shape) == 3 and re.match(flat["encoder.cnn_keys"], key)
        if name.startswith("data_") and (image or key in sizes["vectors"]):
            specs[key] = ArraySpec(shape, str(array.dtype))
    return specs


def load_recording(folder: Path) -> Recording:
    """Load a folder with `official.ckpt` (or any single *.ckpt), `config.json` and `arrays.npz`.

    All sizes come from these.
    """
    files = sorted(folder.glob("*.ckpt"))
    if len(files) != 1:
        raise FileNotFoundError(
            f"{folder} must hold exactly one *.ckpt file, it holds {[f.name for f in files]}"
        )
    flat = read_object(folder / "config.json")
    arrays = load_arrays(folder / "arrays.npz")
    checkpoint = load_official(files[0])
    sizes = infer_sizes(checkpoint.agent, flat["rssm.stoch"])
    config = translate_config(flat, sizes)
    obs = observed(arrays, flat, sizes)
    layout = {"hazards": RELEASE_HAZARDS} if config.model.cost_source == "geometry" else {}
    env = EnvSpec(
        obs,
        sizes["action_dim"],
        action_repeat=1,
        episode_env_steps=1000,
        layout=layout,
        costly=tuple(layout),
    )
    agent = SafeDreamer(config, env)
    state = agent_state(agent, checkpoint, sizes)
    # The recorded losses belong to the first update: normaliser and multipliers start fresh.
    fresh = agent.learner.fresh_state(state.params)
    state = state._replace(return_norm=fresh.return_norm, augmented=fresh.augmented)
    return Recording(arrays, agent, state)
