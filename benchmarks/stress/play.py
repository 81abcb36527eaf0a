"""Plays the cells of a stress test: one policy, one perturbation at one strength, some episodes.

Layouts are those of the split "eval" that neither training nor its evaluations use. They and the
key of the policy's randomness are the same for every policy and strength.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from agents.api import EnvSpec
from benchmarks.envs.factory import EnvFactory
from benchmarks.envs.worker import env_factory, probed
from benchmarks.methods import method
from benchmarks.process.compilation import forget_compiled
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.folder import variant_of
from benchmarks.runs.records import EVAL, EpisodeRecord, read_rows
from benchmarks.stress import errors
from benchmarks.stress.perturbation import UNDISTURBED, Acting, Perturbation, Policy, acting
from benchmarks.stress.records import Key, Row
from benchmarks.training.episodes import UNSEEN_EPISODE, Episode
from benchmarks.zoo.trained import trained

NOTHING = Perturbation(UNDISTURBED, "", "nothing", "", ())


class Cell(NamedTuple):
    """The condition under which a policy is played."""

    perturbation: Perturbation
    strength: float
    task: str = ""  # empty: the policy's own


# a cell with the rows of its episodes and, if measurable, the prediction errors of the world model
# that acted in them
Played: TypeAlias = tuple[Cell, list[Row], list[errors.ErrorRow]]


class Episodes(NamedTuple):
    """The episodes of a cell, and how they are run."""

    seed: int
    per_cell: int
    workers: Literal["process", "inline"] = "inline"


def key_of(policy: Policy, cell: Cell) -> Key:
    task = cell.task or policy.spec.task
    return Key(policy.spec.run_id, policy.label, task, cell.perturbation.name, cell.strength)


def policy_of(name: str | os.PathLike[str]) -> Policy:
    """The policy of a run folder's newest checkpoint, of zoo:METHOD/TASK/SEED or of hub:TARGET.

    Raises BadInput if there is none, or its environment cannot be made.
    """
    found = trained(name)
    spec = found.spec
    repeat = spec.loop.action_repeat
    if method(spec.method).engine == "torch":
        from benchmarks.methods import omnisafe_presets

        repeat = omnisafe_presets.budget(spec, 1).env_repeat
    make = env_factory(spec.task, spec.obs, repeat, spec.loop.resize)
    return Policy(spec, probed(make), found, make, variant_of(found.folder))


def factory(policy: Policy, cell: Cell) -> EnvFactory:
    """The environment factory of a cell.

    Raises BadInput if its environments cannot be made, or differ in observations or actions from
    those of the policy's training.
    """
    make = policy.make
    if cell.task:
        make = dataclasses.replace(make, task=cell.task)
    if cell.perturbation.env is not None:
        make = cell.perturbation.env(make, cell.strength)
    if make != policy.make:
        check_alike(policy, probed(make), make.task)
    return make


def check_alike(policy: Policy, env: EnvSpec, task: str) -> None:
    """Raise BadInput unless observations and actions have the shapes of the policy's training."""
    ours = policy.env
    if (ours.obs, ours.action_dim) != (env.obs, env.action_dim):
        raise BadInput(
            f"{policy.where} cannot act on {task}: it was trained on observations "
            f"{shapes(ours)}, and that has {shapes(env)}"
        )


def shapes(env: EnvSpec) -> str:
    """Readable description of observations and actions."""
    obs = ", ".join(f"{name} {list(array.shape)}" for name, array in env.obs.items())
    return f"{obs} with {env.action_dim} actions"


def play(
    policy: Policy,
    cells: Sequence[Cell],
    episodes: Episodes,
    scratch: Path,
    warn: Callable[[str], None],
) -> Iterator[Played]:
    """Play the cells in order; yields each once all its episodes are played.

    `scratch` is a folder for files exchanged between processes; `warn` is called for each replaced
    environment.
    """
    if policy.torch:
        yield from _play_torch(policy, cells, episodes, scratch)
    else:
        yield from _play_jax(policy, cells, episodes, warn)


def load(policy: Policy) -> Acting:
    """The agent, with the settings that it acts with, and its learner's state.

    Raises BadInput if the parameters do not fit.
    """
    return Acting(*policy.trained._replace(spec=policy.spec).load(policy.env))


def _play_jax(
    policy: Policy, cells: Sequence[Cell], episodes: Episodes, warn: Callable[[str], None]
) -> Iterator[Played]:
    from benchmarks.training.env_faults import describe
    from benchmarks.training.evaluation import run_episodes
    from benchmarks.training.keys import evaluation_key
    from benchmarks.training.traces import Recorder

    loaded = load(policy)
    key = evaluation_key(episodes.seed, policy.trained.env_steps)
    for cell in cells:
        began, visited = time.perf_counter(), Recorder(episodes.per_cell, UNSEEN_EPISODE)
        it = acting(cell.perturbation, policy, loaded, cell.strength)
        measured = policy.trained.entry is None and errors.measurable(it)
        done = run_episodes(
            it.agent,
            it.state,
            factory(policy, cell),
            run_seed=episodes.seed,
            episodes=episodes.per_cell,
            key=key,
            on_fault=lambda fault: warn(describe(fault, EVAL)),
            workers=episodes.workers,
            on_step=visited.add if measured else None,
            first_episode=UNSEEN_EPISODE,
        )
        seconds = round(time.perf_counter() - began, 2)
        rows = [_row(policy, cell, episodes.seed, e, seconds) for e in done]
        found = ()
        if measured:
            found = errors.prediction_errors(it, errors.windows_of(visited.traces()), key)
        yield cell, rows, [errors.ErrorRow(key_of(policy, cell), each) for each in found]
        if it.agent is not loaded.agent:
            del it
            forget_compiled()
    forget_compiled()


def _row(policy: Policy, cell: Cell, seed: int, e: Episode, seconds: float) -> Row:
    key, trained = key_of(policy, cell), policy.trained
    of_run = (policy.spec, EVAL, e, trained.env_steps, trained.agent_steps)
    record = EpisodeRecord.of(*of_run, seconds)
    record = record._replace(method=key.method, task=key.task, seed=seed)
    return Row(record, key.perturbation, key.strength)


def _play_torch(
    policy: Policy, cells: Sequence[Cell], episodes: Episodes, scratch: Path
) -> Iterator[Played]:
    """Play all cells in one child process; finished ones count even if it fails later."""
    from benchmarks.omnisafe.process import run_in_child

    spec = dataclasses.replace(policy.spec, seed=episodes.seed)
    files = [scratch / f"{number}.csv" for number in range(len(cells))]
    orders = []
    for cell, file in zip(cells, files, strict=True):
        make = factory(policy, cell)
        env = {"task": make.task, "wrappers": [list(wrapper) for wrapper in make.wrappers]}
        name = f"{cell.perturbation.name} {cell.strength:g}"
        orders.append({"name": name, "env": env, "out": str(file)})
    failure = None
    try:
        status = run_in_child(
            "stress",
            spec,
            policy.trained.folder,
            episodes=episodes.per_cell,
            first_episode=UNSEEN_EPISODE,
            cells=orders,
            published=policy.trained.published(),
        )
        if status:
            failure = RunFailed(f"the process of {policy.label} ended with status {status}")
    except RunFailed as error:  # killed by a signal
        failure = error
    for cell, file in zip(cells, files, strict=True):
        if file.is_file():
            key = key_of(policy, cell)
            records = (
                record._replace(run_id=key.run_id, method=key.method, task=key.task)
                for record in read_rows(file).records
            )
            rows = [Row(record, key.perturbation, key.strength) for record in records]
            yield cell, rows, []
    if failure is not None:
        raise failure
