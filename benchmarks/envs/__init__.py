"""Environments with a cost: Safety-Gymnasium tasks and users' own, one at a time or several at once."""

# compat first: it chooses the OpenGL backend, which has to happen before Gymnasium is imported.
from benchmarks.envs.compat import MissingGLError
from benchmarks.envs.custom import EnvContractError
from benchmarks.envs.make import SafeEnv, env_spec, make_env
from benchmarks.envs.seeding import Split, episode_seed
from benchmarks.envs.vector import Fault, Step, VectorEnv
from benchmarks.envs.worker import WorkerError

__all__ = [
    "EnvContractError",
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
