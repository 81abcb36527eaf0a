"""Base of the training loops of JAX agents and OmniSafe's learners: run files, evaluations and how
a run ends.

Imports neither JAX nor torch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from benchmarks.envs import Fault, VectorEnv
from benchmarks.envs.factory import MakeEnv
from benchmarks.process.signals import EXIT_STOPPED, OnSignal
from benchmarks.runs import checkpoint, metrics, records
from benchmarks.runs.files import CHECKPOINTS, METRICS_FILE, RECORDS_FILE, REPLAY
from benchmarks.runs.folder import claim, rewind
from benchmarks.runs.reading import typed
from benchmarks.runs.spec import RunSpec, with_minutes
from benchmarks.runs.status import State, StatusFile
from benchmarks.training import resume
from benchmarks.training.boards import boards
from benchmarks.training.counters import Options, Progress
from benchmarks.training.env_faults import EnvFaults
from benchmarks.training.episodes import Episode, Stopped, mean_return_cost
from benchmarks.training.progress import Snapshot, Speed, reporter

Counts = TypeVar("Counts", bound=Progress)
RECENT_EPISODES = 10  # training episodes whose mean is shown
REPORT_SECONDS = 0.5


class Result(NamedTuple):
    """How a call of `train` ended."""

    env_steps: int
    updates: int  # epochs of OmniSafe's on-policy family
    finished: bool  # the step budget is spent and the last evaluation is recorded
    evaluation: Sequence[Episode]  # the last one; empty when there was none


def in_foreground(
    train: Callable[[Options], Result],
    out: Path,
    method: str,
    report_seconds: float,
    verbose: bool,
    **options: Any,
) -> int:
    """Train in `out` with the progress on stdout, until a signal, and print how it ended.

    `options` are further fields of Options. Returns 0, or EXIT_STOPPED after a signal.
    """
    live = reporter(method, report_seconds, verbose)
    with OnSignal() as stop, contextlib.closing(live):
        result = train(Options(reporter=live, stop=stop, **options))
    if result.finished:
        state = "finished"
    elif stop():
        state = "stopped; the same command continues it"
    else:
        state = "done (time); a larger --max-minutes continues it;"
    steps = f"{result.env_steps:,} simulator steps, {result.updates:,} updates"
    print(f"{state} at {steps}; records in {out}", flush=True)
    return EXIT_STOPPED if stop() and not result.finished else 0


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
    found: Path | None  # the checkpoint that the attempt continues from
    meta: Mapping[str, Any]  # of that checkpoint


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
    say = options.reporter.say
    with (
        checkpoint.explain_full_disk(out),
        claim(spec, out, say, devices, lambda: resume.newest_checkpoint(out, spec.run_id, say)) as (
            status,
            newest,
        ),
        contextlib.ExitStack() as stack,
    ):
        found, meta = newest or (None, resume.NEW)
        yield Opened(spec, out, make_env, options, status, stack, found, meta)


class RunLoop(Generic[Counts]):
    """A run as a sequence of consistent points: `advance` moves to the next one, `settle` does what
    is due there.
    """

    def __init__(self, run: Opened, counts: type[Counts]) -> None:
        self.spec, self.config, self.out = run.spec, run.spec.loop, run.out
        self.options, self.make_env, self.stack = run.options, run.make_env, run.stack
        self.env_faults = EnvFaults(run.out, run.options.reporter.say, run.options.max_env_faults)
        saved = run.meta["counters"]
        self.counters: Counts = typed(counts, saved, run.out / CHECKPOINTS) if saved else counts()
        rewind(run.out, run.meta["positions"])
        self.started = time.perf_counter() - self.counters.wall_seconds
        self.boards = boards(run.spec, run.out, run.options, self.counters.env_steps)
        run.stack.enter_context(contextlib.closing(self.boards))
        self.records = run.stack.enter_context(records.RecordWriter(run.out / RECORDS_FILE))
        self.metrics = run.stack.enter_context(contextlib.closing(metrics.MetricsWriter(run.out)))
        self.evaluation: Sequence[Episode] = []
        self.status, self.reporter = run.status, run.options.reporter
        self.losses: dict[str, float] = {}
        self.recent: deque[Episode] = deque(maxlen=RECENT_EPISODES)
        self.speed, self.reported_at = Speed(), 0.0
        self.pause_seconds = 0.0  # of the last evaluation, compilation excluded

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
        snapshot = self.snapshot("evaluate")
        mean_return, mean_cost = mean_return_cost(self.evaluation)
        values = {"eval/return": mean_return, "eval/cost": mean_cost}
        self.boards.write(values, snapshot.env_steps)
        self.reporter.evaluated(snapshot)
        self.counters.evaluated_at = self.counters.env_steps
        seconds = self.elapsed() - start
        self.speed.pause(seconds)
        self.pause_seconds = max(0.0, seconds - self.compiling_seconds())
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
        snapshot = self.snapshot(state)
        self.reported_at = snapshot.wall_seconds
        self.status.check()
        self.reporter.update(snapshot)
        self.status.update(**snapshot.status(), updates=self.updates)

    def report_due(self) -> bool:
        """Whether the next report is due."""
        return self.elapsed() - self.reported_at > REPORT_SECONDS

    def snapshot(self, state: State) -> Snapshot:
        """Progress for display."""
        env_steps, seconds, steps = self.steps_now()[0], self.elapsed(), self.spec.steps
        every, minutes = self.config.eval_every * self.config.action_repeat, self.spec.max_minutes
        ahead = -(-max(0, steps - env_steps) // every) if self.config.eval_episodes else 0
        train, evaluation = (
            mean_return_cost(episodes) if episodes else None
            for episodes in (self.recent, self.evaluation)
        )
        return Snapshot(
            env_steps,
            steps,
            seconds,
            self.speed(seconds, env_steps),
            train,
            evaluation,
            self.losses,
            state,
            max_seconds=math.inf if minutes is None else 60.0 * minutes,
            pauses_seconds=ahead * self.pause_seconds,
        )

    def steps_now(self) -> tuple[int, int]:
        """Simulator steps and agent steps so far."""
        return self.counters.env_steps, self.counters.agent_steps

    def record(self, split: str, episode: Episode) -> None:
        """Write a row of the records."""
        env_steps, agent_steps = self.steps_now()
        at = env_steps, agent_steps, round(self.elapsed(), 2)
        self.records.write(records.EpisodeRecord.of(self.spec, split, episode, *at))
        if split == records.TRAIN:
            self.recent.append(episode)
            values = {"train/return": episode.return_, "train/cost": episode.cost}
            self.boards.write(values, env_steps)

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
                RECORDS_FILE: self.records.position(),
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
