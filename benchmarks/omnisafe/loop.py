"""The loop of a run of OmniSafe: advance the learner, evaluate, log, save, tell.

The same folder as every other run.

The learner comes from one consistent point to the next (an epoch, an update cycle, an action:
baselines.omnisafe.learner); everything here happens at such points. A stop within an epoch of the
on-policy family gives the epoch up: the run is saved as it was at its start, its episodes leave the
records, and the same command plays it again.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.replay import journal
from baselines.omnisafe.learner import Learner, OnPolicy, Setup, make_learner
from baselines.omnisafe.policy import make_policy
from baselines.omnisafe.replay import SavedBuffer
from baselines.omnisafe.state import Tree, replays
from benchmarks.envs import EnvContractError, Fault, VectorEnv
from benchmarks.envs.make import MakeEnv
from benchmarks.methods import omnisafe_presets as presets
from benchmarks.omnisafe.envs import EpisodeEnvs, explain_divergence
from benchmarks.omnisafe.evaluation import evaluate
from benchmarks.runs import checkpoint, metrics, records
from benchmarks.runs.files import CHECKPOINTS, METRICS_FILE, RECORDS_FILE, REPLAY
from benchmarks.runs.folder import claim, rewind
from benchmarks.runs.spec import BadInput, RunFailed, RunSpec, with_minutes
from benchmarks.runs.status import State, StatusFile
from benchmarks.training import resume
from benchmarks.training.boards import boards
from benchmarks.training.counters import Options, Progress
from benchmarks.training.env_faults import EnvFaults
from benchmarks.training.episodes import Episode, Stopped
from benchmarks.training.progress import Snapshot
from benchmarks.training.reporting import Reports

LEARNER, ENVS = checkpoint.LEARNER, "envs"  # of a checkpoint
SHOWN = {
    "Loss/Loss_pi": "actor",
    "Loss/Loss_reward_critic": "critic",
    "Metrics/LagrangeMultiplier": "multiplier",
}


class Result(NamedTuple):
    """How a call of `train` ended."""

    env_steps: int
    updates: int  # epochs of the on-policy family
    finished: bool  # the step budget is spent and the last evaluation is recorded


class Point(NamedTuple):
    """A consistent point of a run, ready to be written."""

    counters: Progress
    trees: dict[str, dict[str, np.ndarray]]
    meta: dict[str, Any]


def torch_devices() -> list[str]:
    """The GPUs that torch sees."""
    return [f"gpu: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]


def train(
    spec: RunSpec, out: str | os.PathLike[str], make_env: MakeEnv, options: Options = Options()
) -> Result:
    """Train `spec` in the folder `out`, from its last checkpoint if there is one.

    `make_env` repeats actions as the budget says.

    Raises BadInput when `out` belongs to another configuration or process or its disk is full,
    RunFailed when the run cannot go on.
    """
    spec, out = with_minutes(spec, options.max_minutes), Path(out)
    saved = resume.Saved(out, spec.run_id, options.reporter.say)
    with (
        checkpoint.explain_full_disk(out),
        claim(spec, out, options.reporter.say, torch_devices, saved.look) as status,
        contextlib.ExitStack() as stack,
    ):
        return Loop(spec, out, make_env, options, status, stack, saved).run()


class Loop:
    """A run: what it is made of, and what happens at its consistent points.

    `stack` closes its files and environments.
    """

    def __init__(
        self,
        spec: RunSpec,
        out: Path,
        make_env: MakeEnv,
        options: Options,
        status: StatusFile,
        stack: contextlib.ExitStack,
        saved: resume.Saved,
    ) -> None:
        self.spec, self.config, self.out, self.options, self.make_env = (
            spec,
            spec.loop,
            out,
            options,
            make_env,
        )
        self.env_faults = EnvFaults(out, options.reporter.say, options.max_env_faults)
        found, meta = saved.path, saved.meta
        self.counters = resume.counters(Progress, meta, out)
        rewind(out, meta["positions"])
        self.saved_at = self.counters.env_steps
        self.started = time.perf_counter() - self.counters.wall_seconds
        self.boards = stack.enter_context(
            contextlib.closing(
                boards(spec, out, options.tensorboard, options.wandb, self.counters.env_steps)
            )
        )
        self.reports = Reports(spec, out, options.reporter, status, self.boards)
        stack.enter_context(contextlib.closing(self.reports))
        self.metrics = stack.enter_context(contextlib.closing(metrics.MetricsWriter(out)))
        vector = stack.enter_context(
            VectorEnv(
                make_env,
                self.config.num_envs,
                spec.seed,
                "train",
                self.config.env_workers,
                timeout_seconds=options.env_timeout_seconds,
            )
        )
        episode_env_steps = vector.spec.episode_env_steps
        presets.check(spec, episode_env_steps)
        self.budget = presets.budget(spec, episode_env_steps)
        self.envs = EpisodeEnvs(
            vector,
            self.budget.env_repeat,
            lambda episode: self._record(records.TRAIN, episode),
            lambda fault: self._fault(fault, records.TRAIN),
            self._tick,
        )
        self.within_epoch = False  # of the on-policy family, where a stop gives it up
        self.learner = self._learner()
        self.buffers = {
            name: SavedBuffer(buffer) for name, buffer in replays(self.learner.algo).items()
        }
        self.policy = make_policy(self.learner)
        self.epoch_seconds = self.evaluation_seconds = 0.0
        if found:
            self._restore(found, meta)
        else:
            # of a start that died before its first checkpoint
            shutil.rmtree(out / REPLAY, ignore_errors=True)
            for warning in presets.warnings(spec):
                options.reporter.say(warning)
        self.point = self._point()

    def _learner(self) -> Learner:
        budget = self.budget
        setup = Setup(
            self.spec.method,
            self.spec.agent,
            self.spec.seed,
            budget.total_steps,
            budget.omnisafe_repeat,
        )
        try:
            return make_learner(setup, self.envs, self._tick)
        except ValueError as error:
            raise BadInput(str(error)) from error

    def _restore(self, found: Path, meta: Mapping[str, Any]) -> None:
        try:
            for name, buffer in self.buffers.items():
                journal.load(buffer, self.out / REPLAY / name, meta["replay_marks"][name])
            same = self.envs.restore(checkpoint.load_flat(found, ENVS))
            self.learner.load(Tree(checkpoint.load_flat(found, LEARNER), meta["learner"]))
        except EnvContractError:  # a ValueError too, but the checkpoint is not to blame
            raise
        except (ValueError, KeyError) as error:
            raise BadInput(f"{found} does not fit this run: {error}") from error
        if not same:
            self.options.reporter.say(
                "the environments did not return to where they were: they are not determined "
                "by their seed and actions, so the run continues, but not exactly"
            )

    def run(self) -> Result:
        """Advance until the steps or minutes are spent or a stop is asked for.

        Then evaluate (unless stopped) and save.
        """
        stop = self.options.stop
        with contextlib.suppress(Stopped):
            self.settle()
            while not self._over():
                start = time.perf_counter()
                self.advance()
                stop.iterated(
                    time.perf_counter() - start if not isinstance(self.learner, OnPolicy) else 0.0
                )
                self.settle()
            if not stop():  # a run that is stopped goes on as if it never had been
                self.evaluate()
        self.save()
        self.report(
            "finished" if self._finished() else "stopped" if self.options.stop() else "out_of_time"
        )
        return Result(self.counters.env_steps, self.learner.updates, self._finished())

    def advance(self) -> None:
        """Bring the learner to its next consistent point.

        Raises Stopped where an epoch was given up.
        """
        start = time.perf_counter()
        self.within_epoch = isinstance(self.learner, OnPolicy)
        try:
            with explain_divergence(self.envs):
                row = self.learner.advance()
        except Stopped:
            self._forget_epoch()
            raise
        finally:
            self.within_epoch = False
        counters = self.counters
        counters.previous_agent_steps = counters.agent_steps
        counters.env_steps = self.envs.env_steps
        counters.agent_steps = self._agent_steps()
        if row is not None:
            self.epoch_seconds = time.perf_counter() - start
            self._log(row)

    def _forget_epoch(self) -> None:
        """Drop what the given-up epoch recorded.

        It is played again, or never was part of the run.
        """
        positions = self.point.meta["positions"]
        self.reports.records.cut(positions[RECORDS_FILE])
        self.metrics.cut(positions[METRICS_FILE])

    def settle(self) -> None:
        """What the last advance made due.

        A resumed run comes here first, because it may have been stopped in an evaluation.
        """
        if isinstance(self.learner, OnPolicy):
            # a stop within the next epoch, or within the evaluation, leaves the run here
            self.point = self._point()
        if self.counters.due(self.config.eval_every):
            self.evaluate()
        if self.counters.due(self.config.checkpoint_every):
            self.save()
        self._tick()

    def evaluate(self) -> None:
        """The fixed evaluation episodes with the present policy; once per number of steps.

        Raises Stopped when asked to.
        """
        counters, config = self.counters, self.config
        if config.eval_episodes == 0 or counters.evaluated_at == counters.env_steps:
            return
        self.report("evaluate")
        start = time.perf_counter()
        played = dict(
            evaluate(
                self.policy,
                self.make_env,
                run_seed=self.spec.seed,
                env_steps=counters.env_steps,
                episodes=config.eval_episodes,
                on_fault=lambda fault: self._fault(fault, records.EVAL),
                should_stop=self.options.stop,
            )
        )
        for split, episodes in played.items():
            for episode in episodes:
                self._record(split, episode)
        self.reports.evaluated(played[records.EVAL], self._snapshot("evaluate"))
        counters.evaluated_at = counters.env_steps
        self.evaluation_seconds = time.perf_counter() - start
        if isinstance(self.learner, OnPolicy):
            self.point = self._point()

    def save(self) -> None:
        """A checkpoint of the last consistent point, from which the run continues."""
        point = self.point if isinstance(self.learner, OnPolicy) else self._point()
        # environments that have not begun an episode have nothing to return to
        if point.counters.env_steps == 0:
            return
        if (
            point.counters.env_steps == self.saved_at
            and point.counters.evaluated_at == self._saved_evaluation
        ):
            return
        self.report("save")
        with self.options.stop.saving():
            marks = {
                name: journal.save(buffer, self.out / REPLAY / name)
                for name, buffer in self.buffers.items()
            }
            meta = point.meta | {"replay_marks": marks}
            checkpoint.save(self.out / CHECKPOINTS, point.counters.env_steps, point.trees, meta)
        self.counters = dataclasses.replace(point.counters)
        self.saved_at, self._saved_evaluation = (
            point.counters.env_steps,
            point.counters.evaluated_at,
        )

    _saved_evaluation = -1

    def report(self, state: State = "train") -> None:
        """Tell where the run stands. Raises LostOwnership when the folder is another's by now."""
        self.reports.tell(self._snapshot(state), self.learner.updates)

    def _point(self) -> Point:
        counters = dataclasses.replace(self.counters)
        tree = self.learner.state()
        positions = {
            RECORDS_FILE: self.reports.records.position(),
            METRICS_FILE: self.metrics.position(),
        }
        progress = dataclasses.asdict(counters) | {"wall_seconds": self._elapsed()}
        meta = {
            "run_id": self.spec.run_id,
            "counters": progress,
            "positions": positions,
            "learner": tree.plain,
        }
        return Point(counters, {LEARNER: tree.arrays, ENVS: self.envs.snapshot()}, meta)

    def _tick(self) -> None:
        """Heard often, also in the midst of rollouts and updates."""
        if self.within_epoch and self.options.stop():
            raise Stopped
        if self.reports.due(self._elapsed()):
            self.report()

    def _log(self, row: dict[str, float]) -> None:
        now, counters = self._elapsed(), self.counters
        self.reports.losses = {
            name: row[key] for key, name in SHOWN.items() if math.isfinite(row.get(key, math.nan))
        }
        shown = {
            "env_steps": counters.env_steps,
            "agent_steps": counters.agent_steps,
            "updates": self.learner.updates,
        }
        written = shown | {"wall_seconds": round(now, 2)} | row
        self.metrics.write(written)
        self.boards.write(written, counters.env_steps)
        broken = [key for key, value in row.items() if key in SHOWN and not math.isfinite(value)]
        if broken:
            raise RunFailed(
                f"{', '.join(broken)} became {row[broken[0]]} at simulator step "
                f"{counters.env_steps}: the run diverged; its last checkpoint is from before"
            )

    def _fault(self, fault: Fault, split: str) -> None:
        self.env_faults(fault, split, self.counters.env_steps)

    def _record(self, split: str, episode: Episode) -> None:
        self.reports.episode(
            split, episode, self.envs.env_steps, self._agent_steps(), self._elapsed()
        )

    def _agent_steps(self) -> int:
        return self.envs.env_steps // self.config.action_repeat

    def _snapshot(self, state: State) -> Snapshot:
        steps = self.envs.env_steps if self.within_epoch else self.counters.env_steps
        return self.reports.snapshot(steps, self._elapsed(), state)

    def _elapsed(self) -> float:
        return time.perf_counter() - self.started

    def _spent(self) -> bool:
        return self.counters.env_steps >= self.spec.steps

    def _finished(self) -> bool:
        """Whether nothing is left to do.

        A stop may have come between the last step and the last evaluation.
        """
        evaluated = (
            self.config.eval_episodes == 0 or self.counters.evaluated_at == self.counters.env_steps
        )
        return self._spent() and evaluated

    def _over(self) -> bool:
        limit = self.spec.max_minutes
        advance = self.epoch_seconds if isinstance(self.learner, OnPolicy) else 0.0
        late = (
            limit is not None
            and self._elapsed() + advance + self.evaluation_seconds >= 60.0 * limit
        )
        return self._spent() or late or self.options.stop()
