"""Evaluation episodes of OmniSafe policies, on the same layouts as this suite's agents and without
effect on training.

Each evaluation plays them with the policy's most likely actions (split "eval") and with sampled
ones (split "eval_sampled"), if the policy distinguishes the two.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

import numpy as np

from baselines.omnisafe.policy import Policy
from baselines.omnisafe.state import borrowed_rng
from benchmarks.envs import Fault, VectorEnv
from benchmarks.envs.factory import MakeEnv
from benchmarks.omnisafe.envs import flatten
from benchmarks.runs import records
from benchmarks.runs.errors import RunFailed
from benchmarks.training.episodes import MAX_ENVS, Episode, Stopped, Tally

STREAM = 4  # random stream, distinct from those of the JAX loop


def evaluate(
    policy: Policy,
    make_env: MakeEnv,
    *,
    run_seed: int,
    env_steps: int,
    episodes: int,
    on_fault: Callable[[Fault], None],
    should_stop: Callable[[], bool] = lambda: False,
    first_episode: int = 0,
) -> Generator[tuple[str, list[Episode]], None, None]:
    """Yield (split, episodes) for each way to act.

    Plays `episodes` episodes of the split "eval" of `run_seed`, from `first_episode` on. Raises
    Stopped if `should_stop`, and RunFailed if every episode was lost.
    """
    for mode, split in enumerate((records.EVAL, records.EVAL_SAMPLED)[: 1 + policy.samples]):
        seed = int(np.random.SeedSequence([run_seed, STREAM, env_steps, mode]).generate_state(1)[0])
        played = range(first_episode, first_episode + episodes)
        with borrowed_rng(seed):
            yield (
                split,
                _play(policy, make_env, run_seed, played, mode == 0, on_fault, should_stop),
            )


def _play(
    policy: Policy,
    make_env: MakeEnv,
    run_seed: int,
    episodes: range,
    deterministic: bool,
    on_fault: Callable[[Fault], None],
    should_stop: Callable[[], bool],
) -> list[Episode]:
    num_envs = min(len(episodes), MAX_ENVS)
    done: dict[int, Episode] = {}
    # in rounds, so that all environments start together with a fresh policy carry
    for first in episodes[::num_envs]:
        tally, last = Tally(num_envs), min(episodes.stop, first + num_envs)
        over = np.arange(first, first + num_envs) >= last
        with VectorEnv(make_env, num_envs, run_seed, "eval", "inline", first) as envs:
            policy.begin(num_envs)
            step = envs.reset()
            while not over.all():
                if should_stop():
                    raise Stopped
                step = envs.step(policy.act(flatten(step.obs), deterministic))
                policy.paid(step.cost)
                for fault in envs.take_faults():
                    on_fault(fault)
                for finished in tally.add(step):
                    if finished.episode < last:
                        done[finished.episode] = finished
                over |= step.is_last | step.lost
    if not done:
        raise RunFailed("every evaluation episode was lost: its environment failed")
    return [done[i] for i in sorted(done)]
