"""Environments behind OmniSafe's interface.

Every episode is seeded, counted and recorded once, whatever ends it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from benchmarks.envs import EnvContractError, Fault, VectorEnv, episode_seed, make_env
from benchmarks.omnisafe.envs import EpisodeEnvs, explain_divergence
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.training.episodes import Episode
from tests.fakes.shore import EDGE, EPISODE_ENV_STEPS, shore

REPEAT = 2
STEPS = EPISODE_ENV_STEPS // REPEAT


class Heard:
    def __init__(self) -> None:
        self.episodes: list[Episode] = []
        self.faults: list[Fault] = []
        self.steps = 0

    def step(self) -> None:
        self.steps += 1


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def make(heard: Heard) -> Iterator[Any]:
    opened = []

    def opener(
        num_envs: int = 1, task: str = "tests.fakes.shore:shore", mode: Any = "inline"
    ) -> EpisodeEnvs:
        vector = VectorEnv(
            functools.partial(make_env, task, "default", REPEAT), num_envs, 7, "train", mode
        )
        opened.append(vector)
        return EpisodeEnvs(vector, REPEAT, heard.episodes.append, heard.faults.append, heard.step)

    yield opener
    for vector in opened:
        vector.close()


def everywhere(envs: EpisodeEnvs) -> np.ndarray:
    return np.ones(envs.num_envs, bool)


def first_obs(episode: int) -> np.ndarray:
    return shore().reset(seed=episode_seed(7, "train", episode))[0]


def right(envs: EpisodeEnvs) -> np.ndarray:
    return np.tile(np.float32([1, 0]), (envs.num_envs, 1))


def test_episodes_of_several_environments_are_seeded_by_their_index(make: Any, heard: Heard):
    envs = make(3)
    np.testing.assert_array_equal(
        envs.begin(everywhere(envs), ended=False), [first_obs(i) for i in range(3)]
    )
    for _ in range(STEPS):
        rows = envs.step(np.zeros((3, 2), np.float32))
    assert rows.truncated.all() and not rows.terminated.any()
    assert [e.episode for e in heard.episodes] == [0, 1, 2]
    one = np.array([False, True, False])
    obs = envs.begin(one, ended=True)
    np.testing.assert_array_equal(obs[1], first_obs(4))
    np.testing.assert_array_equal(obs[[0, 2]], rows.obs[[0, 2]])
    np.testing.assert_array_equal(envs.fresh, one)
    assert len(heard.episodes) == 3


def test_returns_costs_and_lengths_are_raw_sums(make: Any, heard: Heard):
    envs = make()
    start = envs.begin(everywhere(envs), ended=False)[0, 0]
    cost = 0.0
    for _ in range(STEPS):
        cost += float(envs.step(right(envs)).cost[0])
    (episode,) = heard.episodes
    assert episode == (0, pytest.approx(0.25 * EPISODE_ENV_STEPS), cost, EPISODE_ENV_STEPS)
    beyond = sum(start + 0.25 * (i + 1) > EDGE for i in range(EPISODE_ENV_STEPS))
    assert cost == beyond
    assert (envs.env_steps, heard.steps) == (EPISODE_ENV_STEPS, STEPS)


@pytest.mark.parametrize("ended, lengths", [(True, [6]), (False, [])])
def test_an_episode_counts_when_the_algorithm_ends_it_and_not_when_an_epoch_cuts_it(
    make: Any, heard: Heard, ended: bool, lengths: list[int]
):
    envs = make()
    envs.begin(everywhere(envs), ended=False)
    for _ in range(3):
        envs.step(right(envs))
    envs.begin(everywhere(envs), ended=ended)
    assert [e.length for e in heard.episodes] == lengths
    for _ in range(STEPS):
        envs.step(right(envs))
    assert heard.episodes[-1] == (1, pytest.approx(5.0), heard.episodes[-1].cost, EPISODE_ENV_STEPS)


def test_a_restored_run_goes_on_as_if_it_had_not_stopped(make: Any, heard: Heard):
    envs, other = make(2), make(2)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (2 * STEPS, 2, 2)).astype(np.float32)

    def play(who: EpisodeEnvs, some: np.ndarray) -> list[np.ndarray]:
        seen = []
        for action in some:
            rows = who.step(action)
            over = rows.terminated | rows.truncated
            seen.append(who.begin(over, ended=True) if over.any() else rows.obs)
        return seen

    envs.begin(everywhere(envs), ended=False)
    play(envs, actions[: STEPS + 3])
    snapshot = envs.snapshot()
    expected = play(envs, actions[STEPS + 3 :])
    told = heard.episodes[2:]
    heard.episodes.clear()
    assert other.restore(snapshot)
    np.testing.assert_array_equal(play(other, actions[STEPS + 3 :]), expected)
    assert heard.episodes == told and len(told) == 2
    assert other.env_steps == envs.env_steps


def test_a_lost_episode_looks_cut_off_and_is_not_recorded(make: Any, heard: Heard):
    envs = make(task="tests.fakes.toy_envs:failing")  # raises on its third simulator step
    envs.begin(everywhere(envs), ended=False)
    action = np.zeros((1, 2), np.float32)
    before = envs.step(action).obs
    rows = envs.step(action)
    assert rows.truncated.all() and rows.reward == 0 and rows.cost == 0
    np.testing.assert_array_equal(rows.obs, before)
    assert [fault.lost for fault in heard.faults] == [True]
    now = envs.observation()
    # the next episode has already begun
    np.testing.assert_array_equal(envs.begin(everywhere(envs), ended=True), now)
    assert heard.episodes == []


def test_a_run_stopped_after_a_lost_episode_skips_none(make: Any):
    envs, other = (make(task="tests.fakes.toy_envs:failing") for _ in range(2))
    envs.begin(everywhere(envs), ended=False)
    for _ in range(2):
        envs.step(np.zeros((1, 2), np.float32))
    assert other.restore(envs.snapshot())
    np.testing.assert_array_equal(other.fresh, envs.fresh)
    for who in (envs, other):
        now = who.observation()
        np.testing.assert_array_equal(who.begin(everywhere(who), ended=True), now)


def test_an_action_that_is_not_finite_is_the_policys_fault(make: Any, heard: Heard):
    envs = make()
    envs.begin(everywhere(envs), ended=False)
    with pytest.raises(RunFailed, match="diverged"):
        envs.step(np.float32([[np.nan, 0]]))
    assert heard.faults == []


def test_pictures_are_refused(make: Any):
    with pytest.raises(BadInput, match="take vectors"):
        make(task="tests.fakes.toy_envs:images_and_speed")


@pytest.mark.parametrize("name", ["obs_nan", "reward_inf", "cost_dict"])
def test_a_broken_contract_ends_it_at_once_and_is_not_the_policys_fault(make, heard, name):
    envs = make(2, f"tests.fakes.odd_envs:{name}")
    envs.begin(everywhere(envs), ended=False)
    with pytest.raises(EnvContractError, match=r"^environment 0, episode 0, .*step 7: "):
        for _ in range(STEPS):
            envs.step(right(envs))
    assert not heard.faults and not heard.episodes


def test_what_torch_says_of_a_distribution_that_is_not_finite_is_a_diverged_run(make):
    envs = make()
    text = (
        "Expected parameter loc to satisfy the constraint Real(), but found invalid values:\n"
        "tensor([nan])"
    )
    message = "the policy's distribution is not finite at simulator step 0: the run diverged"
    with pytest.raises(RunFailed, match=message), explain_divergence(envs):
        raise ValueError(text)
    for other in (
        ValueError("another"),
        BadInput("environment 0 sent invalid values; but found invalid values"),
    ):
        with pytest.raises(type(other)) as error, explain_divergence(envs):
            raise other
        assert error.value is other
