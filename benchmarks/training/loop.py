"""The training loop: environments -> replay -> updates -> records, for any agent of agents.api.

The loop owns environments, replay, clocks, random keys and files, and receives factories. Every key
derives from the run's seed and a counter, so no random state needs saving. Order of one iteration,
with E environments:

    act on the current rows -> store them with their actions -> dispatch updates, draw the next
    batches -> step the environments

The learner works while the environments step; its results are awaited only when the next actions
need them, and its metrics only when a row of metrics.jsonl is due. The batches of an update are
drawn one iteration before it. Agents that pre-train (`Agent.pretrain_updates`) do so on the
prefill, while the environments are idle.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from typing import TypeAlias

import jax
import numpy as np

from agents.api import COST_NOW, Agent, EnvSpec
from agents.replay import journal
from agents.replay.prefetch import Prefetch
from benchmarks.envs.factory import MakeEnv
from benchmarks.runs import checkpoint, metrics, records
from benchmarks.runs.files import CHECKPOINTS, REPLAY
from benchmarks.runs.provenance import jax_devices
from benchmarks.runs.spec import RunSpec
from benchmarks.runs.status import State
from benchmarks.training import fresh_costs, resume
from benchmarks.training.base import Opened, Result, RunLoop, opened
from benchmarks.training.counters import Options, Progress
from benchmarks.training.divergence import Watch
from benchmarks.training.episodes import Episode, Tally
from benchmarks.training.evaluation import Forecast, run_episodes
from benchmarks.training.keys import ACT, UPDATE, evaluation_key, stream_key
from benchmarks.training.transitions import make_replay, row

MakeAgent: TypeAlias = Callable[[EnvSpec], Agent]

CARRY, RUNNING = "carry", "loop"  # parts of a checkpoint besides the learner
# pre-training updates between checks of the clock and of stop requests
PRETRAIN_SLICE = 32
PREFILL = 3  # stream of numpy generators; batches draw from [seed, update] (agents.replay.prefetch)


@dataclasses.dataclass
class Counters(Progress):
    """Additional counters of this loop."""

    iterations: int = 0
    updates: int = 0
    requested: int = 0  # updates whose batches are drawn
    logged_at: int = -1  # env_steps of the last row of metrics


def train(
    spec: RunSpec,
    out: str | os.PathLike[str],
    make_env: MakeEnv,
    make_agent: MakeAgent,
    options: Options = Options(),
) -> Result:
    """Train `spec` in the folder `out`, continuing from its last checkpoint if there is one.

    Raises BadInput if `out` belongs to another configuration or process or its disk is full, and
    RunFailed if the run cannot continue.
    """
    with opened(spec, out, make_env, options, jax_devices) as run:
        return Loop(run, make_agent).run()


class Loop(RunLoop[Counters]):
    """The state of a training run and its iterations."""

    def __init__(self, run: Opened, make_agent: MakeAgent) -> None:
        super().__init__(run, Counters)
        spec, out, options, stack = run.spec, run.out, run.options, run.stack
        found, meta = run.found, run.meta
        self.watch = Watch(out)
        self.key = jax.random.key(spec.seed)
        self.saved = dataclasses.astuple(self.counters)
        self.envs = self.environments()
        self.agent = make_agent(self.envs.spec)
        self.replay = stack.enter_context(contextlib.closing(make_replay(spec, self.envs.spec)))
        if found:
            self.state = checkpoint.load(found, checkpoint.LEARNER, self.agent.init(spec.seed))
            mark = meta["replay_mark"]
            resume.fits(found, journal.load, self.replay, out / REPLAY, mark)
        else:
            init = options.init_state
            self.state = init(self.envs.spec) if init else self.agent.init(spec.seed)
            self.discard_replay()
        batch = self.config.batch_size, self.config.batch_length
        self.batches = stack.enter_context(
            Prefetch(self.replay, *batch, seed=spec.seed, device_put=jax.device_put)
        )
        self.batches.request(range(self.counters.updates, self.counters.requested))
        self.carry = self.agent.init_carry(self.config.num_envs)
        self.tally = Tally(self.config.num_envs)
        self.window, self.sections = metrics.Window(), metrics.Sections()
        self.warned = False
        self.compiled: set[str] = set()  # functions that this process has compiled
        self.forecast = Forecast(
            self.envs.spec.episode_agent_steps, self.config.num_envs, self.config.eval_episodes
        )
        self.logged = self.elapsed(), self.counters.env_steps
        self.renders = any(array.dtype == "uint8" for array in self.envs.spec.obs.values())
        if found:
            self.carry = checkpoint.load(found, CARRY, self.carry)
            running = checkpoint.load_flat(found, RUNNING)
            self.step = resume.fits(
                found,
                resume.restore,
                running,
                self.envs,
                self.tally,
                self.window,
                options.reporter.say,
            )
        else:
            self.step = self.envs.reset()

    @property
    def updates(self) -> int:
        return self.counters.updates

    def advance(self) -> None:
        if self._pretraining():
            self.pretrain()
        else:
            self.iterate()

    def conclude(self) -> None:
        self.evaluate()
        self.log()

    def settle(self) -> None:
        if self.counters.due(self.config.eval_every):
            self.evaluate()
        if self.counters.due(self.config.log_every):
            self.log()
        if self.counters.due(self.config.checkpoint_every):
            self.save()
        if self.report_due():
            self.report()

    def iterate(self) -> None:
        """Take one agent step in every environment and make the updates then due."""
        step, counters = self.step, self.counters
        actions = (
            self._act() if counters.agent_steps >= self.config.prefill else self._random_actions()
        )
        with self.sections("replay"):
            self.replay.add(row(step, actions, self.config.truncation_is_terminal))
        self._learn()
        try:
            with self.sections("env"):
                self.step = self.envs.step(actions)
        finally:  # recorded even if an environment could not be replaced and the run ends here
            for fault in self.envs.take_faults():
                self.fault(fault, records.TRAIN)
        counters.iterations += 1
        counters.previous_agent_steps = counters.agent_steps
        counters.agent_steps += int(np.count_nonzero(self.step.env_steps))
        counters.env_steps += int(np.sum(self.step.env_steps))
        for episode in self.tally.add(self.step):
            self.state = self.agent.end_episode(self.state, episode.cost, counters.agent_steps)
            self.record(records.TRAIN, episode)

    def pretrain(self) -> None:
        """Make some of the updates before the policy's first action; environments are idle."""
        counters = self.counters
        counters.previous_agent_steps = counters.agent_steps  # nothing is due twice
        stop = min(counters.updates + PRETRAIN_SLICE, self.agent.pretrain_updates)
        self.batches.request(range(counters.requested, stop))
        counters.requested = stop
        self._update()
        self._await_learner()

    def _pretraining(self) -> bool:
        counters = self.counters
        return (
            counters.agent_steps >= self.config.prefill
            and counters.updates < self.agent.pretrain_updates
        )

    def _await_learner(self) -> None:
        """Wait for the dispatched updates.

        Raises Diverged if one of them met a non-finite number.
        """
        with self.sections("learner"):
            jax.block_until_ready(self.state)
            self.watch.check(self.counters.env_steps)

    def _act(self) -> np.ndarray:
        """The policy's actions [E, A].

        Waits for the learner first, so that its time is not attributed to acting.
        """
        self._await_learner()
        with self.sections("act"):
            key = stream_key(self.key, ACT, self.counters.iterations)
            with self._compiling("act"):
                actions, self.carry, info = self.agent.act(
                    self.state, self.carry, self.step.obs, self.step.is_first, key, "train"
                )
            if (expected := info.pop(COST_NOW, None)) is not None:
                counted = fresh_costs.counts(np.asarray(expected), self.step.cost)
                self.window.add(counted, fresh_costs.PREFIX)
            self.window.add(info, "act/")
            result = np.asarray(actions, np.float32)
        self.forecast.acted(self.sections.last)
        self.watch.check_actions(result, self.step.obs, self.counters.env_steps)
        return result

    def _random_actions(self) -> np.ndarray:
        rng = np.random.default_rng([self.spec.seed, PREFILL, self.counters.iterations])
        shape = self.config.num_envs, self.envs.spec.action_dim
        return rng.uniform(-1.0, 1.0, shape).astype(np.float32)

    def _learn(self) -> None:
        """Dispatch the updates whose batches were drawn in the previous iteration, then request
        batches for those now due.

        Does not wait for the learner; batches are gathered while environments step.
        """
        counters = self.counters
        self._update()
        due = self.config.updates_due(counters.agent_steps)
        if counters.agent_steps >= self.config.prefill:
            due += self.agent.pretrain_updates
        self.batches.request(range(counters.requested, due))
        counters.requested = due

    def _update(self) -> None:
        """Dispatch the updates whose batches were drawn."""
        counters = self.counters
        while counters.updates < counters.requested:
            with self.sections("replay"):
                update, batch = self.batches.next()
            with self.sections("learner"), self._compiling("update"):
                key = stream_key(self.key, UPDATE, update)
                self.state, values = self.agent.update(self.state, batch, key)
            self.window.add(self.watch.updated(update, batch, values), "train/")
            counters.updates += 1

    def evaluate(self) -> None:
        if self.evaluates():
            self._await_learner()
            super().evaluate()

    def play(self) -> dict[str, list[Episode]]:
        with self.sections("eval"):
            return {
                records.EVAL: run_episodes(
                    self.agent,
                    self.state,
                    self.make_env,
                    run_seed=self.spec.seed,
                    episodes=self.config.eval_episodes,
                    key=evaluation_key(self.spec.seed, self.counters.env_steps),
                    # Starting processes takes longer than simulating; they pay off only with
                    # rendering.
                    workers=self.config.env_workers if self.renders else "inline",
                    on_fault=lambda fault: self.fault(fault, records.EVAL),
                    should_stop=self.options.stop,
                )
            }

    def evaluated(self, seconds: float) -> None:
        self.forecast.evaluated(seconds)

    def compiling_seconds(self) -> float:
        return self.forecast.first_compiling

    @contextlib.contextmanager
    def _compiling(self, call: str) -> Iterator[None]:
        """Wrap a call that compiles on its first use in this process.

        The compilation is shown and excluded from the speed.
        """
        if call in self.compiled:
            yield
            return
        start = self.elapsed()
        self.options.reporter.compiling()
        yield
        self.compiled.add(call)
        self.speed.pause(self.elapsed() - start)

    def seconds_ahead(self) -> float:
        return self.forecast.seconds()

    def log(self) -> None:
        """Write a row of metrics: means and time spent per section since the last row.

        Does nothing if one was written at this number of steps.
        """
        if self.counters.logged_at == self.counters.env_steps:
            return
        counted = self.window.flush()
        values = fresh_costs.summary(counted)
        if not self.warned and (said := fresh_costs.warning(counted, values)):
            self.warned = True
            self.options.reporter.say(said)
        now, env_steps = self.elapsed(), self.counters.env_steps
        self.counters.logged_at = env_steps
        (then, steps_then), self.logged = self.logged, (now, env_steps)
        speed = (env_steps - steps_then) / max(now - then, 1e-9)
        losses = {
            k.removeprefix("train/"): v
            for k, v in values.items()
            if k.startswith("train/") and k.endswith("/loss")
        }
        # keep the old ones if the last row follows directly after another
        self.losses = losses or self.losses
        row = {
            "env_steps": env_steps,
            "agent_steps": self.counters.agent_steps,
            "updates": self.counters.updates,
            "wall_seconds": round(now, 2),
            "env_steps_per_second": round(speed, 2),
        }
        self.write(row | values | self.sections.flush())

    def save(self) -> None:
        """Write a checkpoint of everything, from which the run continues exactly."""
        counters = dataclasses.astuple(self.counters)
        if counters == self.saved:
            return
        self._await_learner()
        self.report("save")
        with self.options.stop.saving(), self.sections("checkpoint"):
            progress = self.progress()
            mark = journal.save(self.replay, self.out / REPLAY)
            trees = {
                checkpoint.LEARNER: self.state,
                CARRY: self.carry,
                RUNNING: resume.snapshot(self.envs, self.step, self.tally, self.window),
            }
            meta = progress | {"replay_mark": mark}
            checkpoint.save(self.out / CHECKPOINTS, self.counters.env_steps, trees, meta)
        self.saved = counters

    def report(self, state: State = "train") -> None:
        if self.counters.agent_steps < self.config.prefill:
            # random actions are fast and do not predict the speed of training
            self.speed.forget()
        super().report(state)

    def finished(self) -> bool:
        return super().finished() and self.counters.logged_at == self.counters.env_steps
