"""Episode seeds: every layout depends only on the run seed, the split and the episode's index."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

Split: TypeAlias = Literal["train", "eval"]
SPLITS: tuple[Split, ...] = ("train", "eval")


def episode_seed(run_seed: int, split: Split, episode: int) -> int:
    """Seed in 0..2^31-1 of the episode with index `episode` in a split.

    Independent of machine, process and number of environments.

    Raises ValueError for a negative seed or index and for an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; valid: {', '.join(SPLITS)}")
    if run_seed < 0 or episode < 0:
        raise ValueError(f"run_seed={run_seed} and episode={episode} must not be negative")
    sequence = np.random.SeedSequence(entropy=run_seed, spawn_key=(SPLITS.index(split), episode))
    return int(sequence.generate_state(1)[0] >> np.uint32(1))
