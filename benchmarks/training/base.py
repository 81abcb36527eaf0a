"""Base of the training loops of JAX agents and OmniSafe's learners: run files, evaluations and how
a run ends.

Imports neither JAX nor torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from benchmarks.envs import Fault, VectorEnv
from benchmarks.envs.factory import MakeEnv
from benchmarks.runs import checkpoint, metrics, records
from benchmarks.runs.files import METRICS_FILE, RECORDS_FILE, REPLAY
from benchmarks.runs.folder import claim, rewind
from benchmarks.runs.spec import RunSpec, with_minutes
from benchmarks.runs.status import State, StatusFile
from benchmarks.training import resume
from benchmarks.training.boards import boards
from benchmarks.training.counters import Options, Progress
from benchmarks.training.env_faults import EnvFaults
from benchmarks.training.episodes import Episode, Stopped
from benchmarks.training.progress import Snapshot
from benchmarks.training.reporting import Reports

Counts = TypeVar("Counts", bound=Progress)


class Result(NamedTuple):
    """How a call of `train` ended."""

    env_steps: int
    updates: int  # epochs of OmniSafe's on-policy family
    finished: bool  # the step budget is spent and the last evaluation is recorded
    evaluation: Sequence[Episode]  # the last one; empty when there was none


class Opened(NamedTuple):
    """A run folder owned by this process, and the arguments of this attempt.

    `stack` closes files and environments.
    """

    spec: RunSpec
    out: Path
    make_env: MakeEnv
    options: Options
    status: StatusFile
    stack: contextlib.ExitStack
    saved: resume.Saved


@contextlib.contextmanager
def opened(
    spec: RunSpec,
    out: str | os.PathLike[str],
    make_env: MakeEnv,
    options: Options,
    devices: Callable[[], list[str]],
) -> Iterator[Opened]:
    """Claim the folder `out` for `spec`, check it and find its newest checkpoint.

    `devices` lists the devices of the learner's library. Raises BadInput if `out` belongs to
    another configuration or process, or its disk is full.
    """
    spec, out = with_minutes(spec, options.max_minutes), Path(out)
    saved = resume.Saved(out, spec.run_id, options.reporter.say)
    with (
        checkpoint.explain_full_disk(out),
        claim(spec, out, options.reporter.say, devices, saved.look) as status,
        contextlib.ExitStack() as stack,
    ):
        yield Opened(spec, out, make_env, options, status, stack, saved)


class RunLoop(Generic[Counts]):
    """A run as a sequence of consistent points: `advance` moves to the next one, `settle` does what
    is due there.
    """

    def __init__(self, run: Opened, counts: type[Counts]) -> None:
        self.spec, self.config, self.out = run.spec, run.spec.loop, run.out
        self.options, self.make_env, self.stack = run.options, run.make_env, run.stack
        self.env_faults = EnvFaults(run.out, run.options.reporter.say, run.options.max_env_faults)
        meta = run.saved.meta
        self.counters: Counts = resume.counters(counts, meta, run.out)
        rewind(run.out, meta["positions"])
        self.started = time.perf_counter() - self.counters.wall_seconds
        self.boards = boards(run.spec, run.out, run.options, self.counters.env_steps)
        run.stack.enter_context(contextlib.closing(self.boards))
        self.reports = Reports(run.spec, run.out, run.options.reporter, run.status, self.boards)
        run.stack.enter_context(contextlib.closing(self.reports))
        self.metrics = run.stack.enter_context(contextlib.closing(metrics.MetricsWriter(run.out)))
        self.evaluation: Sequence[Episode] = []

    # What a loop defines

    @property
    def updates(self) -> int:
        """Updates made so far."""
        raise NotImplementedError

    def advance(self) -> None:
        """Advance to the next consistent point. Raises Stopped if interrupted."""
        raise NotImplementedError

    def settle(self) -> None:
        """Do what the last advance made due.

        A resumed run starts here, because it may have been stopped during an evaluation.
        """
        raise NotImplementedError

    def save(self) -> None:
        """Write a checkpoint from which the run continues exactly."""
        raise NotImplementedError

    def play(self) -> Mapping[str, Sequence[Episode]]:
        """Run evaluation episodes of the current policy, by split. Raises Stopped on request."""
        raise NotImplementedError

    def seconds_ahead(self) -> float:
        """Expected seconds until the run can end: the next advance and the last evaluation."""
        raise NotImplementedError

    def patience(self, seconds: float) -> float:
        """The part of an advance's seconds during which signals are not handled."""
        return seconds

    # What they share

    def environments(self) -> VectorEnv:
        """The training environments; closed with the run."""
        return self.stack.enter_context(
            VectorEnv(
                self.make_env,
                self.config.num_envs,
                self.spec.seed,
                "train",
                self.config.env_workers,
                timeout_seconds=self.options.env_timeout_seconds,
            )
        )

    def run(self) -> Result:
        """Advance until the step or time budget is spent or a stop is requested.

        Then evaluate (unless stopped) and save.
        """
        stop = self.options.stop
        with contextlib.suppress(Stopped):
            self.settle()
            while not self._over():
                start = time.perf_counter()
                self.advance()
                stop.iterated(self.patience(time.perf_counter() - start))
                self.settle()
            if not stop():  # a stopped run continues later as if uninterrupted
                self.conclude()
        self.save()
        finished = self.finished()
        self.report("finished" if finished else "stopped" if stop() else "out_of_time")
        return Result(self.counters.env_steps, self.updates, finished, self.evaluation)

    def conclude(self) -> None:
        """Do what is due at the end of training."""
        self.evaluate()

    def evaluates(self) -> bool:
        """Whether the current policy still has to be evaluated, once per number of steps."""
        return self.config.eval_episodes > 0 and (
            self.counters.evaluated_at != self.counters.env_steps
        )

    def evaluate(self) -> None:
        """Run the fixed evaluation episodes, unless already done at this step.

        Raises Stopped on request.
        """
        if not self.evaluates():
            return
        self.report("evaluate")
        start = self.elapsed()
        played = self.play()
        for split, episodes in played.items():
            for episode in episodes:
                self.record(split, episode)
        self.evaluation = played[records.EVAL]
        self.reports.evaluated(self.evaluation, self.snapshot("evaluate"))
        self.counters.evaluated_at = self.counters.env_steps
        seconds = self.elapsed() - start
        self.reports.speed.pause(seconds)
        self.reports.evaluation_seconds = max(0.0, seconds - self.compiling_seconds())
        self.evaluated(seconds)

    def evaluated(self, seconds: float) -> None:
        """Hook called after each evaluation with its duration."""

    def compiling_seconds(self) -> float:
        """Estimated compile time of the last evaluation; 0 if it compiled nothing."""
        return 0.0

    def report(self, state: State = "train") -> None:
        """Write the status and show progress.

        Raises LostOwnership if another process has taken over the folder.
        """
        self.reports.tell(self.snapshot(state), self.updates)

    def snapshot(self, state: State) -> Snapshot:
        """Progress for display."""
        return self.reports.snapshot(self.steps_now()[0], self.elapsed(), state)

    def steps_now(self) -> tuple[int, int]:
        """Simulator steps and agent steps so far."""
        return self.counters.env_steps, self.counters.agent_steps

    def record(self, split: str, episode: Episode) -> None:
        """Write a row of the records."""
        self.reports.episode(split, episode, *self.steps_now(), self.elapsed())

    def fault(self, fault: Fault, split: str) -> None:
        """Record a replaced environment; raises RunFailed after too many."""
        self.env_faults(fault, split, self.counters.env_steps)

    def write(self, row: dict[str, Any]) -> None:
        """Write a row of metrics."""
        self.metrics.write(row)
        self.boards.write(row, self.counters.env_steps)

    def progress(self) -> dict[str, Any]:
        """The part of a checkpoint's meta common to all loops."""
        return {
            "run_id": self.spec.run_id,
            "counters": dataclasses.asdict(self.counters) | {"wall_seconds": self.elapsed()},
            "positions": {
                RECORDS_FILE: self.reports.records.position(),
                METRICS_FILE: self.metrics.position(),
            },
        }

    def discard_replay(self) -> None:
        """Delete the replay files of an attempt that died before its first checkpoint."""
        shutil.rmtree(self.out / REPLAY, ignore_errors=True)

    def elapsed(self) -> float:
        """Wall-clock seconds of the run, including those before a resume."""
        return time.perf_counter() - self.started

    def spent(self) -> bool:
        """Whether the step budget is spent."""
        return self.counters.env_steps >= self.spec.steps

    def finished(self) -> bool:
        """Whether nothing is left to do, the last evaluation included."""
        return self.spent() and not self.evaluates()

    def _over(self) -> bool:
        limit = self.spec.max_minutes
        late = limit is not None and self.elapsed() + self.seconds_ahead() >= 60.0 * limit
        return self.spent() or late or self.options.stop()
