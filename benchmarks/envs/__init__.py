"""Environments with a cost: Safety-Gymnasium tasks and users' own, single or vectorised.

Importing this package imports no simulator: a learner whose environments run under another
interpreter may have none. `make_env`, `SafeEnv` and `env_spec` are loaded on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from benchmarks.envs.errors import EnvContractError, MissingGLError, WorkerError
from benchmarks.envs.factory import EnvFactory
from benchmarks.envs.seeding import Split, episode_seed
from benchmarks.envs.vector import Fault, Step, VectorEnv

if TYPE_CHECKING:
    from benchmarks.envs.make import SafeEnv, env_spec, make_env

__all__ = [
    "EnvContractError",
    "EnvFactory",
    "Fault",
    "MissingGLError",
    "SafeEnv",
    "Split",
    "Step",
    "VectorEnv",
    "WorkerError",
    "env_spec",
    "episode_seed",
    "make_env",
]


def __getattr__(name: str) -> Any:
    if name in ("SafeEnv", "env_spec", "make_env"):
        return getattr(importlib.import_module("benchmarks.envs.make"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
