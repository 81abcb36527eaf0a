"""Specs of small environments, configurations and replay batches for tests of the agents.

No simulator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from agents.api import ArraySpec, EnvSpec
from agents.safedreamer.config import SafeDreamerConfig
from agents.safedreamer.presets import agent_config

HAZARDS = slice(4, 8)  # two hazards
VECTOR = EnvSpec(
    {"observation": ArraySpec((9,), "float32")}, 2, 4, 1000, {"hazards": HAZARDS}, ("hazards",)
)
LIDAR = EnvSpec({"observation": ArraySpec((12,), "float32")}, 2, 4, 1000)
VISION = EnvSpec(
    {name: ArraySpec((64, 64, 3), "uint8") for name in ("image", "image2")}, 2, 4, 1000
)
ENVS = {"coordinates": VECTOR, "lidar": LIDAR, "vision": VISION}


def tiny(method: str, obs: str = "coordinates", **changes: object) -> SafeDreamerConfig:
    """The debug preset with changed top-level settings."""
    return dataclasses.replace(agent_config(method, obs, "debug"), **changes)  # pyright: ignore[reportArgumentType]


def observations(env: EnvSpec, lead: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    draw = {
        "uint8": lambda shape: rng.integers(0, 256, shape).astype(np.uint8),
        "float32": lambda shape: rng.normal(size=shape).astype(np.float32),
    }
    return {name: draw[spec.dtype]((*lead, *spec.shape)) for name, spec in env.obs.items()}


def replay_batch(
    env: EnvSpec, batch: int = 3, length: int = 6, seed: int = 0
) -> dict[str, np.ndarray]:
    """A replay batch [B, T, ...] of noise; episodes start mid-sequence and some terminate."""
    rng, lead = np.random.default_rng(seed), (batch, length)
    first = np.zeros(lead, bool)
    first[0, 0] = first[-1, length // 2] = True
    last = np.zeros(lead, bool)
    last[-1, length // 2 - 1] = True
    return {
        **observations(env, lead, seed + 1),
        "action": rng.uniform(-1, 1, (*lead, env.action_dim)).astype(np.float32),
        "reward": rng.normal(size=lead).astype(np.float32),
        "cost": rng.choice([0.0, 1.0, 2.0], lead).astype(np.float32),
        "is_first": first,
        "is_last": last,
        "is_terminal": last.copy(),
    }


def as_float(tree: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name: float(value) for name, value in tree.items()}
