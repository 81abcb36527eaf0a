"""Writes the policy of an OmniSafe run to a file that holds only the arrays needed for acting."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from baselines.omnisafe import published
from baselines.omnisafe.learner import Learner
from baselines.omnisafe.policy import make_policy
from benchmarks.envs import VectorEnv
from benchmarks.envs.factory import MakeEnv
from benchmarks.methods.saved import newest
from benchmarks.omnisafe.envs import flatten
from benchmarks.omnisafe.evaluate import load_learner, new_learner
from benchmarks.runs.errors import BadInput
from benchmarks.runs.policy_file import ENVS, ROWS, TOLERANCE, halved, relative, write_policy
from benchmarks.runs.spec import RunSpec
from benchmarks.training.episodes import UNSEEN_EPISODE


def write_kept(spec: RunSpec, run: Path, make_env: MakeEnv, file: str, about: str) -> int:
    """Write the policy of the run's newest checkpoint to `file`, in float16 where its most likely
    actions stay within TOLERANCE, and what was kept, as JSON, to `about`; returns 0.

    Raises BadInput if the arrays alone do not reproduce the run's actions.
    """
    trained, path, *_ = newest(run)
    with contextlib.ExitStack() as stack:
        learner = load_learner(trained, path, make_env, stack)
        new = new_learner(dataclasses.replace(trained, seed=trained.seed + 1), make_env, stack)
        rows = record(learner, make_env, spec.seed)
        try:
            arrays = published.needed(learner, new, rows)
        except ValueError as error:
            raise BadInput(f"{run} cannot be published: {error}") from error
        small = halved(arrays)
        published.fill(new, small)
        error = half_error(learner, new, rows)
        of = {
            name: array
            for name, array in learner.state().arrays.items()
            if not name.startswith(published.NO_PART_OF_A_POLICY)
        }
    kept, dtype = (small, "float16") if error <= TOLERANCE else (arrays, "float32")
    write_policy(file, kept)
    count, total = (sum(int(a.size) for a in some.values()) for some in (kept, of))
    said = {"dtype": dtype, "error": error, "count": count, "of": total}
    Path(about).write_text(json.dumps(said), encoding="utf-8")
    return 0


def half_error(learner: Learner, halved: Learner, rows: Sequence[published.Seen]) -> float:
    """Relative difference of the most likely actions of the two learners.

    Infinite if those of `halved` are not finite, from numbers beyond the range of float16.
    """
    here = published.decisions(learner, rows)[0]
    try:
        there = published.decisions(halved, rows)[0]
    except ValueError:  # torch's distributions raise for non-finite parameters
        return float("inf")
    return relative(here, there) if np.isfinite(there).all() else float("inf")


def record(learner: Learner, make_env: MakeEnv, run_seed: int) -> list[published.Seen]:
    """Record ROWS decisions in ENVS unseen layouts; fewer if an episode ends earlier."""
    policy, found = make_policy(learner), []
    with VectorEnv(make_env, ENVS, run_seed, "eval", "inline", UNSEEN_EPISODE) as envs:
        policy.begin(ENVS)
        step = envs.reset()
        while len(found) < ROWS and not step.is_last.any():
            obs = flatten(step.obs)
            step = envs.step(policy.act(obs, True))
            policy.paid(step.cost)
            found.append(published.Seen(np.array(obs), np.array(step.cost)))
    return found
