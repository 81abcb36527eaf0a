"""`safedreamer evaluate` for runs of OmniSafe: the newest checkpoint's policy on fixed layouts."""

from __future__ import annotations

import contextlib
import sys
import time
from pathlib import Path

from baselines.omnisafe.learner import Setup, make_learner
from baselines.omnisafe.policy import Policy, make_policy
from baselines.omnisafe.state import Tree
from benchmarks.envs import VectorEnv
from benchmarks.envs.factory import MakeEnv
from benchmarks.methods import omnisafe_presets as presets
from benchmarks.methods.saved import newest
from benchmarks.omnisafe.envs import EpisodeEnvs
from benchmarks.omnisafe.evaluation import evaluate
from benchmarks.runs import checkpoint, records
from benchmarks.runs.spec import BadInput, RunSpec
from benchmarks.training.env_faults import describe
from benchmarks.training.episodes import Episode, costly, mean_return_cost

PROG = "safedreamer evaluate"


def evaluate_run(
    spec: RunSpec,
    run: Path,
    make_env: MakeEnv,
    episodes: int,
    out: str,
    first_episode: int = 0,
    final: bool = False,
) -> int:
    """Play episodes from `first_episode` on with the policy of `run`, on the task and the layouts
    of `spec`.

    `final`: with its deterministic actions only, as records of the split "final". Writes the
    records and prints them; returns 0.
    """
    trained, path, env_steps, agent_steps = newest(run)
    with contextlib.ExitStack() as stack:
        policy = load_policy(trained, path, make_env, stack)
        print(
            f"{spec.method} on {spec.task} ({spec.obs}) after {env_steps:,} simulator steps",
            flush=True,
        )
        began = time.perf_counter()
        played = evaluate(
            policy,
            make_env,
            run_seed=spec.seed,
            env_steps=env_steps,
            episodes=episodes,
            first_episode=first_episode,
            on_fault=lambda fault: print(
                f"{PROG}: {describe(fault, records.EVAL)}", file=sys.stderr, flush=True
            ),
        )
        found = []
        for split, done in played:
            split = records.FINAL if final else split
            _show(split, done, episodes)
            found += [(split, episode) for episode in done]
            if final:
                break
    seconds = round(time.perf_counter() - began, 2)
    Path(out).unlink(missing_ok=True)
    with records.RecordWriter(out) as writer:
        for split, e in found:
            of_run = (
                spec.run_id,
                spec.method,
                spec.task,
                spec.obs,
                spec.seed,
                split,
                e.episode,
                env_steps,
                agent_steps,
            )
            writer.write(records.EpisodeRecord(*of_run, e.return_, e.cost, e.length, seconds))
    print(f"wrote {out}", flush=True)
    return 0


def load_policy(
    spec: RunSpec, saved: Path, make_env: MakeEnv, stack: contextlib.ExitStack
) -> Policy:
    """The policy in a checkpoint of the run `spec`. Raises BadInput where they do not fit."""
    vector = stack.enter_context(
        VectorEnv(make_env, spec.loop.num_envs, spec.seed, "train", "inline")
    )
    budget = presets.budget(spec, vector.spec.episode_env_steps)
    envs = EpisodeEnvs(vector, budget.env_repeat, lambda _: None, lambda _: None, lambda: None)
    meta = checkpoint.read_meta(saved, spec.run_id)
    try:
        learner = make_learner(
            Setup(spec.method, spec.agent, spec.seed, budget.total_steps, budget.omnisafe_repeat),
            envs,
        )
        learner.load(Tree(checkpoint.load_flat(saved, checkpoint.LEARNER), meta["learner"]))
    except (ValueError, KeyError) as error:
        raise BadInput(f"{saved} does not fit this run: {error}") from error
    return make_policy(learner)


def _show(split: str, done: list[Episode], episodes: int) -> None:
    print(f"{split}\n{'episode':>8} {'return':>9} {'cost':>8} {'length':>7}")
    for e in done:
        print(f"{e.episode:>8} {e.return_:>9.2f} {e.cost:>8.1f} {e.length:>7}")
    mean_return, mean_cost = mean_return_cost(done)
    print(f"{'mean':>8} {mean_return:>9.2f} {mean_cost:>8.1f}")
    print(f"{costly(done)} of {len(done)} episodes had any cost", flush=True)
    if lost := episodes - len(done):
        print(
            f"{lost} of {episodes} episodes lost with their environments; mean and records "
            f"have the other {len(done)}"
        )
