"""The training loop: environments -> replay -> updates -> records, for any agent of agents.api.

The loop owns environments, replay, clocks, random keys and files, and gets factories. Every key derives from the run's seed and
a counter, so nothing random needs saving. Order of one iteration, with E environments:

    act on the current rows -> store them with their actions -> dispatch updates, draw the next batches -> step the environments

The learner works while the environments step; its results are awaited only when the next actions need them, and its metrics
only when a row of metrics.jsonl is due. The batches of an update are drawn one iteration before it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import shutil
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from agents.api import Agent, EnvSpec, PyTree
from agents.prefetch import Prefetch
from benchmarks import checkpoint, metrics, records, resume
from benchmarks.envs import Step, VectorEnv
from benchmarks.evaluate import Episode, Forecast, MakeEnv, Tally, evaluation_key, mean_return_cost, run_episodes
from benchmarks.progress import Reporter, Silent, Snapshot, Speed
from benchmarks.run_folder import CHECKPOINTS, REPLAY, claim, rewind
from benchmarks.spec import BadInput, RunSpec
from benchmarks.transitions import make_replay, row

MakeAgent: TypeAlias = Callable[[EnvSpec], Agent]

CARRY, STANDING = "carry", "loop"  # of a checkpoint, beside the learner
ACT, UPDATE = 0, 1  # streams of keys; benchmarks.evaluate has its own
PREFILL = 3  # stream of numpy generators; batches draw from [seed, update] (agents.prefetch)
RECENT_EPISODES = 10  # training episodes whose mean the progress line shows
REPORT_SECONDS = 0.5


class Options(NamedTuple):
    """What a start of a run may choose without changing its result."""

    max_minutes: float | None = None  # wall clock of the whole run, resumes included; leaves time for the last evaluation
    tensorboard: bool = False
    reporter: Reporter = Silent()
    should_stop: Callable[[], bool] = lambda: False  # asked after every iteration
    init_state: Callable[[EnvSpec], PyTree] | None = None  # instead of agent.init(seed), for a run from an authors' checkpoint


class Result(NamedTuple):
    """How a call of `train` ended."""

    env_steps: int
    updates: int
    finished: bool  # the step budget is spent
    evaluation: list[Episode]  # the last one; empty when there was none


@dataclasses.dataclass
class Counters:
    """Where a run stands; a checkpoint holds all of it."""

    iterations: int = 0
    agent_steps: int = 0
    env_steps: int = 0
    updates: int = 0
    requested: int = 0  # updates whose batches are drawn
    evaluated_at: int = -1  # env_steps of the last evaluation
    wall_seconds: float = 0.0


def train(spec: RunSpec, out: Path, make_env: MakeEnv, make_agent: MakeAgent, options: Options = Options()) -> Result:
    """Train `spec` in the folder `out`, continuing from its last checkpoint if there is one.

    Raises BadInput when `out` belongs to another configuration.
    """
    with claim(spec, Path(out)) as folder, contextlib.ExitStack() as stack:
        return Loop(spec, folder, make_env, make_agent, options, stack).run()


class Loop:
    """A training run: what it is made of, and what one iteration does to it. `stack` closes its files and environments."""

    def __init__(
        self, spec: RunSpec, out: Path, make_env: MakeEnv, make_agent: MakeAgent, options: Options, stack: contextlib.ExitStack
    ) -> None:
        self.spec, self.config, self.out, self.options, self.make_env = spec, spec.loop, out, options, make_env
        self.key = jax.random.key(spec.seed)
        found = self._newest_checkpoint(out / CHECKPOINTS)
        meta: dict[str, Any] = {"counters": {}, "positions": {}}
        if found:
            meta = checkpoint.read_meta(found, spec.run_id)
        rewind(out, meta["positions"])
        self.counters = Counters(**meta["counters"])
        self.started = time.perf_counter() - self.counters.wall_seconds
        self.records = stack.enter_context(contextlib.closing(records.RecordWriter(out / records.FILE_NAME)))
        self.metrics = stack.enter_context(contextlib.closing(metrics.MetricsWriter(out, options.tensorboard)))
        self.envs = stack.enter_context(VectorEnv(make_env, self.config.num_envs, spec.seed, "train", self.config.env_workers))
        self.agent = make_agent(self.envs.spec)
        self.replay = stack.enter_context(contextlib.closing(make_replay(spec, self.envs.spec)))
        if found:
            self.state = checkpoint.load(found, checkpoint.LEARNER, self.agent.init(spec.seed))
            self.replay.load(out / REPLAY, meta["replay_mark"])
        else:
            self.state = options.init_state(self.envs.spec) if options.init_state else self.agent.init(spec.seed)
            shutil.rmtree(out / REPLAY, ignore_errors=True)  # of a start that died before its first checkpoint
        batch = self.config.batch_size, self.config.batch_length
        self.batches = stack.enter_context(Prefetch(self.replay, *batch, seed=spec.seed, device_put=jax.device_put))
        self.batches.request(range(self.counters.updates, self.counters.requested))
        self.carry = self.agent.init_carry(self.config.num_envs)
        self.tally = Tally(self.config.num_envs)
        self.window, self.sections = metrics.Window(), metrics.Sections()
        self.recent: deque[Episode] = deque(maxlen=RECENT_EPISODES)
        self.evaluation: list[Episode] = []
        self.forecast = Forecast(self.envs.spec.episode_agent_steps, self.config.num_envs, self.config.eval_episodes)
        self.speed, self.logged = Speed(), (self._elapsed(), self.counters.env_steps)
        self.losses: dict[str, float] = {}
        self.renders = any(array.dtype == "uint8" for array in self.envs.spec.obs.values())
        self.step: Step = self._restore(found) if found else self.envs.reset()
        self.reported_at = 0.0

    def run(self) -> Result:
        """Iterate until the steps or minutes are spent or a stop is asked for; then evaluate (unless stopped) and save."""
        begun = self.counters.iterations
        while not self._over():
            before = self.counters.agent_steps
            self.iterate()
            if self._crossed(before, self.config.eval_every):
                self.evaluate()
            if self._crossed(before, self.config.log_every):
                self.log()
            if self._crossed(before, self.config.checkpoint_every):
                self.save()
            if self._elapsed() - self.reported_at > REPORT_SECONDS:
                self.report()
        if self.counters.iterations > begun:
            if not self.options.should_stop():  # a run that is stopped goes on as if it never had been
                self.evaluate()
                self.log()
            self.save()
            self.report()
        return Result(self.counters.env_steps, self.counters.updates, self._spent(), self.evaluation)

    def iterate(self) -> None:
        """One agent step of every environment, and the updates it earns."""
        step, counters = self.step, self.counters
        actions = self._act() if counters.agent_steps >= self.config.prefill else self._random_actions()
        with self.sections("replay"):
            self.replay.add(row(step, actions, self.config.truncation_is_terminal))
        self._learn()
        with self.sections("env"):
            self.step = self.envs.step(actions)
        counters.iterations += 1
        counters.agent_steps += int(np.count_nonzero(self.step.env_steps))
        counters.env_steps += int(np.sum(self.step.env_steps))
        new = self.step
        for episode in self.tally.add(new.reward, new.cost, new.env_steps, new.is_last, new.episode):
            self.state = self.agent.end_episode(self.state, episode.cost, counters.agent_steps)
            self.recent.append(episode)
            self._record(records.TRAIN, episode)

    def _act(self) -> np.ndarray:
        """The policy's actions [E, A]; waits for the learner first, so that its time is not counted as the policy's."""
        with self.sections("learner"):
            jax.block_until_ready(self.state)
        with self.sections("act"):
            key = self._key(ACT, self.counters.iterations)
            actions, self.carry, info = self.agent.act(self.state, self.carry, self.step.obs, self.step.is_first, key, "train")
            self.window.add(info, "act/")
            result = np.asarray(actions, np.float32)
        self.forecast.acted(self.sections.last)
        return result

    def _random_actions(self) -> np.ndarray:
        rng = np.random.default_rng([self.spec.seed, PREFILL, self.counters.iterations])
        return rng.uniform(-1.0, 1.0, (self.config.num_envs, self.envs.spec.action_dim)).astype(np.float32)

    def _learn(self) -> None:
        """Dispatch the updates whose batches were drawn in the iteration before, then draw those that are now due.

        Nothing here waits for the learner, and batches are gathered while environments step.
        """
        counters = self.counters
        while counters.updates < counters.requested:
            with self.sections("replay"):
                update, batch = self.batches.next()
            with self.sections("learner"):
                self.state, values = self.agent.update(self.state, batch, self._key(UPDATE, update))
            self.window.add(values, "train/")
            counters.updates += 1
        due = self.config.updates_due(counters.agent_steps)
        self.batches.request(range(counters.requested, due))
        counters.requested = due

    def evaluate(self) -> None:
        """The fixed evaluation episodes with the present parameters; once per number of steps."""
        if self.config.eval_episodes == 0 or self.counters.evaluated_at == self.counters.env_steps:
            return
        self.report("evaluating")
        begun = self._elapsed()
        with self.sections("eval"):
            self.evaluation = run_episodes(
                self.agent,
                self.state,
                self.make_env,
                run_seed=self.spec.seed,
                episodes=self.config.eval_episodes,
                key=evaluation_key(self.spec.seed, self.counters.env_steps),
                # Starting processes takes longer than simulating; rendering is what pays for them.
                workers=self.config.env_workers if self.renders else "inline",
            )
        for episode in self.evaluation:
            self._record(records.EVAL, episode)
        self.counters.evaluated_at = self.counters.env_steps
        self.forecast.evaluated(self._elapsed() - begun)

    def log(self) -> None:
        """One row of metrics: means since the last row, and where the time went."""
        values = self.window.flush()
        now, env_steps = self._elapsed(), self.counters.env_steps
        (then, steps_then), self.logged = self.logged, (now, env_steps)
        speed = (env_steps - steps_then) / max(now - then, 1e-9)
        losses = {k.removeprefix("train/"): v for k, v in values.items() if k.startswith("train/") and k.endswith("/loss")}
        self.losses = losses or self.losses  # the last row may come right after another
        row = {"env_steps": env_steps, "agent_steps": self.counters.agent_steps, "updates": self.counters.updates}
        row |= {"wall_seconds": round(now, 2), "env_steps_per_second": round(speed, 2)}
        self.metrics.write(row | values | self.sections.flush())

    def save(self) -> None:
        """A checkpoint of everything, from which the run continues as if it had not stopped. Raises BadInput on a full disk."""
        try:
            with self.sections("checkpoint"):
                counters = self.counters
                counters.wall_seconds = self._elapsed()
                positions = {records.FILE_NAME: self.records.position(), metrics.FILE_NAME: self.metrics.position()}
                mark = self.replay.save(self.out / REPLAY)
                progress = {"counters": dataclasses.asdict(counters), "positions": positions}
                meta = {"run_id": self.spec.run_id, "replay_mark": mark, **progress}
                standing = resume.snapshot(self.envs, self.step, self.tally, self.window)
                trees = {checkpoint.LEARNER: self.state, CARRY: self.carry, STANDING: standing}
                checkpoint.save(self.out / CHECKPOINTS, counters.env_steps, trees, meta)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise BadInput(
                f"no space is left for a checkpoint in {self.out} ({error}); the one before it is whole: free space, and the same "
                "command continues the run from there"
            ) from error

    def _newest_checkpoint(self, folder: Path) -> Path | None:
        """The newest whole one; damaged ones are named and set aside. Raises BadInput when only damaged ones are left."""
        found = checkpoint.find(folder)
        faults = "; ".join(f"{path}: {fault}" for path, fault in found.damaged)
        if found.damaged and found.path is None:
            raise BadInput(
                f"no checkpoint of this run is whole ({faults}): delete {folder} to start over, or choose another --out"
            )
        for path, fault in found.damaged:
            aside = checkpoint.set_aside(path)
            self.options.reporter.say(
                f"checkpoint {path.name} is damaged ({fault}); kept as {aside}, continuing from {found.path}"
            )
        return found.path

    def _restore(self, found: Path) -> Step:
        """Return to the middle of whatever the run was doing."""
        self.carry = checkpoint.load(found, CARRY, self.carry)
        step, different = resume.restore(checkpoint.load_flat(found, STANDING), self.envs, self.tally, self.window)
        if different:
            self.options.reporter.say(
                f"environments {list(different)} did not return to where they were: they are not determined by their seed and "
                "actions, so the run continues, but not exactly"
            )
        return step

    def report(self, phase: str = "train") -> None:
        """Tell the reporter where the run stands."""
        now = self.reported_at = self._elapsed()
        if self.counters.agent_steps < self.config.prefill:
            self.speed.forget()  # random actions are fast and say nothing about what follows
        speed = self.speed(now, self.counters.env_steps)
        recent, last = (mean_return_cost(list(x)) if x else None for x in (self.recent, self.evaluation))
        self.options.reporter.update(
            Snapshot(self.counters.env_steps, self.spec.steps, now, speed, recent, last, self.losses, phase)
        )

    def _record(self, split: str, episode: Episode) -> None:
        spec, counters = self.spec, self.counters
        self.records.write(
            records.EpisodeRecord(
                run_id=spec.run_id,
                method=spec.method,
                task=spec.task,
                obs=spec.obs,
                seed=spec.seed,
                split=split,
                episode=episode.episode,
                env_steps=counters.env_steps,
                agent_steps=counters.agent_steps,
                return_=episode.return_,
                cost=episode.cost,
                length=episode.length,
                wall_seconds=round(self._elapsed(), 2),
            )
        )

    def _key(self, stream: int, counter: int) -> jax.Array:
        return jax.random.fold_in(jax.random.fold_in(self.key, stream), counter)

    def _elapsed(self) -> float:
        return time.perf_counter() - self.started

    def _crossed(self, before: int, every: int) -> bool:
        return self.counters.agent_steps // every > before // every

    def _spent(self) -> bool:
        return self.counters.env_steps >= self.spec.steps

    def _over(self) -> bool:
        limit = self.options.max_minutes
        late = limit is not None and self._elapsed() + self.forecast.seconds() >= 60.0 * limit
        return self._spent() or late or self.options.should_stop()
