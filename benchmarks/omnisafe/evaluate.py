"""`safedreamer evaluate` for OmniSafe runs: the newest checkpoint's policy on fixed layouts."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from baselines.omnisafe.learner import Learner, Setup, make_learner
from baselines.omnisafe.policy import make_policy
from baselines.omnisafe.published import fill
from baselines.omnisafe.state import Tree
from benchmarks.envs import Fault, VectorEnv
from benchmarks.envs.factory import EnvFactory, MakeEnv
from benchmarks.methods import omnisafe_presets as presets
from benchmarks.methods.saved import newest
from benchmarks.omnisafe.envs import EpisodeEnvs
from benchmarks.omnisafe.evaluation import evaluate
from benchmarks.runs import checkpoint, records
from benchmarks.runs.errors import BadInput
from benchmarks.runs.policy_file import check_fits
from benchmarks.runs.spec import RunSpec
from benchmarks.training.env_faults import describe
from benchmarks.training.episodes import HEADER, Episode, line, mean_return_cost, summary

PROG = "safedreamer evaluate"


def evaluate_run(
    spec: RunSpec,
    run: Path,
    make_env: MakeEnv,
    episodes: int,
    out: str,
    first_episode: int = 0,
    final: bool = False,
    published: Mapping[str, Any] | None = None,
    label: str = "",
) -> int:
    """Play episodes from `first_episode` on with the policy of `run`, or the published one, on the
    task and the layouts of `spec`. `label` is the method's name in the records, if not its own.

    `final` plays deterministic actions only and records them under the split "final". Writes the
    records and prints them; returns 0.
    """
    playing = _playing(spec, run, make_env, episodes, first_episode, published)
    with playing as (play, env_steps, agent_steps):
        print(
            f"{label or spec.method} on {spec.task} ({spec.obs}) after {env_steps:,} simulator "
            "steps",
            flush=True,
        )
        began = time.perf_counter()
        found = []
        for split, done in play(make_env):
            split = records.FINAL if final else split
            print(split, HEADER, *map(line, done), summary(done, episodes), sep="\n", flush=True)
            found += [(split, episode) for episode in done]
            if final:
                break
    _write(out, spec, env_steps, agent_steps, found, began, label)
    if not final:
        print(f"wrote {out}", flush=True)
    return 0


def evaluate_changed(
    spec: RunSpec,
    run: Path,
    make_env: EnvFactory,
    episodes: int,
    first_episode: int,
    cells: Sequence[Mapping[str, Any]],
    published: Mapping[str, Any] | None = None,
) -> int:
    """Play the same episodes on changed environments, one cell after the other; returns 0.

    A cell holds `env`, the fields of `make_env` to change, and `out`, the file for its records,
    which is written when all its episodes are done. Uses deterministic actions only.
    """
    playing = _playing(spec, run, make_env, episodes, first_episode, published)
    with playing as (play, env_steps, agent_steps):
        for cell in cells:
            changes = dict(cell["env"])
            changes["wrappers"] = tuple((name, number) for name, number in changes["wrappers"])
            changed = dataclasses.replace(make_env, **changes)
            began = time.perf_counter()
            with contextlib.closing(play(changed)) as played:
                split, done = next(played)
            of_task = dataclasses.replace(spec, task=changed.task)
            part = f"{cell['out']}.part"
            found = [(split, episode) for episode in done]
            _write(part, of_task, env_steps, agent_steps, found, began)
            os.replace(part, cell["out"])
            print(f"{cell['name']}: return and cost {mean_return_cost(done)}", flush=True)
    return 0


Play: TypeAlias = Callable[[MakeEnv], Generator[tuple[str, list[Episode]], None, None]]


@contextlib.contextmanager
def _playing(
    spec: RunSpec,
    run: Path,
    make_env: MakeEnv,
    episodes: int,
    first_episode: int,
    published: Mapping[str, Any] | None,
) -> Iterator[tuple[Play, int, int]]:
    """`evaluate` with the run's newest policy, and its simulator and agent steps of training.

    For a published policy, `published` holds `file`, `env_steps` and `agent_steps`.
    """
    with contextlib.ExitStack() as stack:
        if published is None:
            trained, path, env_steps, agent_steps = newest(run)
            learner = load_learner(trained, path, make_env, stack)
        else:
            env_steps, agent_steps = published["env_steps"], published["agent_steps"]
            learner = _published_learner(spec, published["file"], make_env, stack)
        play = functools.partial(
            evaluate,
            make_policy(learner),
            run_seed=spec.seed,
            env_steps=env_steps,
            episodes=episodes,
            first_episode=first_episode,
            on_fault=_say_fault,
        )
        yield play, env_steps, agent_steps


def _say_fault(fault: Fault) -> None:
    print(f"{PROG}: {describe(fault, records.EVAL)}", file=sys.stderr, flush=True)


def _write(
    out: str,
    spec: RunSpec,
    env_steps: int,
    agent_steps: int,
    found: Sequence[tuple[str, Episode]],
    began: float,
    label: str = "",
) -> None:
    """Write the records of (split, episode), replacing an older file."""
    seconds = round(time.perf_counter() - began, 2)
    rows = (
        records.EpisodeRecord.of(spec, split, played, env_steps, agent_steps, seconds)
        for split, played in found
    )
    records.write_records(out, (row._replace(method=label or row.method) for row in rows))


def load_learner(
    spec: RunSpec, saved: Path, make_env: MakeEnv, stack: contextlib.ExitStack
) -> Learner:
    """Load the learner from a checkpoint of the run `spec`. Raises BadInput if they do not fit."""
    meta = checkpoint.read_meta(saved, spec.run_id)
    try:
        learner = new_learner(spec, make_env, stack)
        learner.load(Tree(checkpoint.load_flat(saved, checkpoint.LEARNER), meta["learner"]))
    except (ValueError, KeyError) as error:
        raise BadInput(f"{saved} does not fit this run: {error}") from error
    return learner


def _published_learner(
    spec: RunSpec, file: str, make_env: MakeEnv, stack: contextlib.ExitStack
) -> Learner:
    try:
        learner = new_learner(spec, make_env, stack)
    except ValueError as error:
        raise BadInput(f"{file} does not fit {spec.task} ({spec.obs}): {error}") from error
    arrays = checkpoint.read_arrays(file)
    check_fits(arrays, learner.state().arrays, file)
    fill(learner, arrays)
    return learner


def new_learner(spec: RunSpec, make_env: MakeEnv, stack: contextlib.ExitStack) -> Learner:
    """An untrained learner, with environments that `stack` closes.

    Raises ValueError if settings and environments do not fit.
    """
    vector = stack.enter_context(
        VectorEnv(make_env, spec.loop.num_envs, spec.seed, "train", "inline")
    )
    budget = presets.budget(spec, vector.spec.episode_env_steps)
    envs = EpisodeEnvs(vector, budget.env_repeat, lambda _: None, lambda _: None, lambda: None)
    setup = (spec.method, spec.agent, spec.seed, budget.total_steps, budget.omnisafe_repeat)
    return make_learner(Setup(*setup), envs)
