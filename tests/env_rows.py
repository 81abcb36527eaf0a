"""`python -m tests.env_rows`: a digest of the environments' outputs for fixed actions.

Different interpreters, for the suite or for the environments, must print the same line.
"""

from __future__ import annotations

import hashlib

import numpy as np

from benchmarks.envs import EnvFactory, VectorEnv
from benchmarks.envs.factory import chosen_python

TASKS = (("SafetyPointGoal1-v0", "coordinates"), ("SafetyHopperVelocity-v1", "lidar"))
STEPS = 150  # enough for the robots to meet obstacles and fall


def digest() -> str:
    """SHA-256 of all rows, their dtypes and the specs."""
    found, rng = hashlib.sha256(), np.random.default_rng(0)
    for task, obs in TASKS:
        make = EnvFactory(task, obs, 3, python=chosen_python())
        with VectorEnv(make, 2, 3, "train", "inline") as envs:
            found.update(repr(envs.spec).encode())
            step = envs.reset()
            for _ in range(STEPS):
                for value in (*step.obs.values(), *step[1:]):
                    found.update(f"{value.dtype}{value.shape}".encode() + value.tobytes())
                step = envs.step(rng.uniform(-1, 1, (2, envs.spec.action_dim)))
    return found.hexdigest()


if __name__ == "__main__":
    print(digest())
