"""The training loop of OmniSafe runs: advance the learner, evaluate, log, save, report.

Writes the same run folder as every other run.

The learner advances from one consistent point to the next (an epoch, an update cycle, an action:
baselines.omnisafe.learner); everything here happens at such points. A stop within an epoch of the
on-policy family discards the epoch: the run is saved as of the epoch's start, its episodes are
removed from the records, and the same command plays it again.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from agents.replay import journal
from baselines.omnisafe.learner import OnPolicy, Setup, make_learner
from baselines.omnisafe.policy import make_policy
from baselines.omnisafe.replay import SavedBuffer
from baselines.omnisafe.state import Tree, replays
from benchmarks.envs import EnvContractError
from benchmarks.envs.factory import MakeEnv
from benchmarks.methods import omnisafe_presets as presets
from benchmarks.omnisafe.envs import EpisodeEnvs, explain_divergence
from benchmarks.omnisafe.evaluation import evaluate
from benchmarks.runs import checkpoint, records
from benchmarks.runs.errors import BadInput, RunFailed, as_bad_input
from benchmarks.runs.files import CHECKPOINTS, METRICS_FILE, RECORDS_FILE, REPLAY
from benchmarks.runs.spec import RunSpec
from benchmarks.training.base import Opened, Result, RunLoop, opened
from benchmarks.training.counters import Options, Progress
from benchmarks.training.episodes import Episode, Stopped

LEARNER, ENVS = checkpoint.LEARNER, "envs"  # parts of a checkpoint
SHOWN = {
    "Loss/Loss_pi": "actor",
    "Loss/Loss_reward_critic": "critic",
    "Metrics/LagrangeMultiplier": "multiplier",
}


class Point(NamedTuple):
    """A consistent point of a run, ready to be written."""

    counters: Progress
    trees: dict[str, dict[str, np.ndarray]]
    meta: dict[str, Any]


def torch_devices() -> list[str]:
    """The GPUs available to torch."""
    return [f"gpu: {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]


def train(
    spec: RunSpec, out: str | os.PathLike[str], make_env: MakeEnv, options: Options = Options()
) -> Result:
    """Train `spec` in the folder `out`, continuing from its last checkpoint if there is one.

    `make_env` must use the action repeat of the spec.

    Raises BadInput if `out` belongs to another configuration or process or its disk is full, and
    RunFailed if the run cannot continue.
    """
    with opened(spec, out, make_env, options, torch_devices) as run:
        return Loop(run).run()


class Loop(RunLoop[Progress]):
    """The state of a run, and the actions at its consistent points."""

    def __init__(self, run: Opened) -> None:
        super().__init__(run, Progress)
        spec, found = run.spec, run.found
        # env_steps and evaluated_at of the newest checkpoint
        self.saved = self.counters.env_steps, self.counters.evaluated_at
        vector = self.environments()
        episode_env_steps = vector.spec.episode_env_steps
        presets.check(spec, episode_env_steps)
        self.budget = presets.budget(spec, episode_env_steps)
        self.envs = EpisodeEnvs(
            vector,
            self.budget.env_repeat,
            lambda episode: self.record(records.TRAIN, episode),
            lambda fault: self.fault(fault, records.TRAIN),
            self._tick,
        )
        self.within_epoch = False  # within an on-policy epoch, which a stop discards
        steps = self.budget.total_steps, self.budget.omnisafe_repeat
        setup = Setup(spec.method, spec.agent, spec.seed, *steps)
        with as_bad_input():
            self.learner = make_learner(setup, self.envs, self._tick)
        self.buffers = {
            name: SavedBuffer(buffer) for name, buffer in replays(self.learner.algo).items()
        }
        self.policy = make_policy(self.learner)
        self.epoch_seconds = self.evaluation_seconds = 0.0
        if found:
            self._restore(found, run.meta)
        else:
            self.discard_replay()
            for warning in presets.warnings(spec):
                self.options.reporter.say(warning)
        self.point = self._point()

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
                "the environments did not return to their saved state: they are not determined "
                "by their seed and actions, so the run continues, but not exactly"
            )

    @property
    def updates(self) -> int:
        return self.learner.updates

    @property
    def on_policy(self) -> bool:
        """Whether an advance is an epoch, which a stop can interrupt."""
        return isinstance(self.learner, OnPolicy)

    def patience(self, seconds: float) -> float:
        return 0.0 if self.on_policy else seconds

    def advance(self) -> None:
        """Advance the learner to its next consistent point.

        Raises Stopped if an epoch was discarded.
        """
        start = time.perf_counter()
        self.within_epoch = self.on_policy
        try:
            with explain_divergence(self.envs):
                row = self.learner.advance()
        except Stopped:
            # the epoch is played again on resume, or is not part of the run
            positions = self.point.meta["positions"]
            self.records.cut(positions[RECORDS_FILE])
            self.metrics.cut(positions[METRICS_FILE])
            raise
        finally:
            self.within_epoch = False
        counters = self.counters
        counters.previous_agent_steps = counters.agent_steps
        counters.env_steps = self.envs.env_steps
        counters.agent_steps = counters.env_steps // self.config.action_repeat
        if row is not None:
            self.epoch_seconds = time.perf_counter() - start
            self._log(row)

    def settle(self) -> None:
        if self.on_policy:
            # a stop within the next epoch or evaluation saves the run as of this point
            self.point = self._point()
        if self.counters.due(self.config.eval_every):
            self.evaluate()
        if self.counters.due(self.config.checkpoint_every):
            self.save()
        self._tick()

    def play(self) -> dict[str, list[Episode]]:
        return dict(
            evaluate(
                self.policy,
                self.make_env,
                run_seed=self.spec.seed,
                env_steps=self.counters.env_steps,
                episodes=self.config.eval_episodes,
                on_fault=lambda fault: self.fault(fault, records.EVAL),
                should_stop=self.options.stop,
            )
        )

    def evaluated(self, seconds: float) -> None:
        self.evaluation_seconds = seconds
        if self.on_policy:
            self.point = self._point()

    def seconds_ahead(self) -> float:
        return self.evaluation_seconds + (self.epoch_seconds if self.on_policy else 0.0)

    def save(self) -> None:
        """Write a checkpoint of the last consistent point, from which the run continues."""
        point = self.point if self.on_policy else self._point()
        # environments without an episode have nothing to restore
        if point.counters.env_steps == 0:
            return
        counters = point.counters.env_steps, point.counters.evaluated_at
        if counters == self.saved:
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
        self.saved = counters

    def _point(self) -> Point:
        tree = self.learner.state()
        return Point(
            dataclasses.replace(self.counters),
            {LEARNER: tree.arrays, ENVS: self.envs.snapshot()},
            self.progress() | {"learner": tree.plain},
        )

    def _tick(self) -> None:
        """Handle stop requests and reports; called often, also within rollouts and updates."""
        if self.within_epoch and self.options.stop():
            raise Stopped
        if self.report_due():
            self.report()

    def _log(self, row: dict[str, float]) -> None:
        now, counters = self.elapsed(), self.counters
        self.losses = {
            name: row[key] for key, name in SHOWN.items() if math.isfinite(row.get(key, math.nan))
        }
        steps = {"env_steps": counters.env_steps, "agent_steps": counters.agent_steps}
        self.write(steps | {"updates": self.updates, "wall_seconds": round(now, 2)} | row)
        broken = [key for key, value in row.items() if key in SHOWN and not math.isfinite(value)]
        if broken:
            raise RunFailed(
                f"{', '.join(broken)} became {row[broken[0]]} at simulator step "
                f"{counters.env_steps}: the run diverged; its last checkpoint is from before"
            )

    def steps_now(self) -> tuple[int, int]:
        steps = self.envs.env_steps if self.within_epoch else self.counters.env_steps
        return steps, steps // self.config.action_repeat
