"""Play, record and film the episodes of `safedreamer evaluate` and of final evaluations."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from benchmarks.runs.records import EVAL, EpisodeRecord, write_records
from benchmarks.suites.names import label
from benchmarks.zoo.trained import Trained

if TYPE_CHECKING:
    from agents.api import Agent, EnvSpec, PyTree
    from benchmarks.video.film import Filming

PROG = "safedreamer evaluate"


class Policy(NamedTuple):
    """A policy to evaluate."""

    trained: Trained  # for an authors' checkpoint, `source` is the file
    official: bool = False
    stoch: int | None = None  # for an authors' checkpoint, if given
    name: str = ""  # zoo:METHOD/TASK/SEED or hub:TARGET
    variant: str = ""  # of the suite, and settings that replace those of its training

    def load(self, env: EnvSpec) -> tuple[Agent, PyTree]:
        """Load the agent and its learner's state. Raises BadInput if parameters do not fit."""
        if not self.official:
            return self.trained.load(env)
        from benchmarks.training.launch import official_agent

        return official_agent(self.trained.source, env, self.trained.spec.agent, self.stoch)


def run(
    policy: Policy,
    out: Path,
    episodes: int,
    workers: Literal["process", "inline"],
    filming: Filming | None = None,
    first_episode: int = 0,
    split: str = EVAL,
) -> None:
    """Run the episodes from `first_episode` on, print them, and write them to `out` (replacing it)
    as records of `split`.

    Then film some, into the folder named like `out` without its suffix.
    """
    from benchmarks.training.env_faults import describe
    from benchmarks.training.episodes import HEADER, line, summary
    from benchmarks.training.evaluation import run_episodes
    from benchmarks.training.keys import evaluation_key
    from benchmarks.training.launch import environment
    from benchmarks.training.traces import Recorder
    from benchmarks.video.film import film_episodes
    from benchmarks.video.footage import Stage
    from benchmarks.video.frame import SCENE

    spec, _, env_steps, agent_steps, _ = policy.trained
    make, env_spec = environment(spec)
    agent, state = policy.load(env_spec)
    method = label(spec.method, policy.variant)
    after = f"{method} on {spec.task} ({spec.obs}) after {env_steps:,} simulator steps"
    with contextlib.ExitStack() as stack:
        # before the episodes, so that missing rendering is reported at once
        stage = stack.enter_context(Stage(spec, SCENE)) if filming else None
        recorder = Recorder(filming.episodes, first_episode) if filming else None
        print(after, flush=True)
        print(HEADER)
        began = time.perf_counter()
        done = run_episodes(
            agent,
            state,
            make,
            run_seed=spec.seed,
            episodes=episodes,
            key=evaluation_key(spec.seed, env_steps),
            on_fault=lambda fault: print(
                f"{PROG}: {describe(fault, split)}", file=sys.stderr, flush=True
            ),
            workers=workers,
            on_episode=lambda e: print(line(e), flush=True),
            on_step=recorder.add if recorder else None,
            first_episode=first_episode,
        )
        print(summary(done, episodes))
        at = (env_steps, agent_steps, round(time.perf_counter() - began, 2))
        rows = (EpisodeRecord.of(spec, split, e, *at)._replace(method=method) for e in done)
        write_records(out, rows)
        print(f"wrote {out}", flush=True)
        if filming and stage and recorder:
            traces, folder = recorder.traces(), out.with_suffix("")
            film_episodes(filming, stage, agent, state, env_spec, traces, after, folder)
