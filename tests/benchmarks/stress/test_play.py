"""How the cells of a stress test are played: with which settings and images, and what remains of
them if the process that plays them dies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from agents.safedreamer.agent import SafeDreamer
from benchmarks.omnisafe import process
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.runs.records import EVAL, EpisodeRecord, write_records
from benchmarks.runs.spec import RunSpec
from benchmarks.stress import play
from benchmarks.stress.perturbation import Policy
from benchmarks.stress.plan import UNDISTURBED_CELL, with_settings
from benchmarks.stress.play import Cell, Episodes, policy_of
from benchmarks.stress.registry import PERTURBATIONS
from benchmarks.training.episodes import Episode
from benchmarks.zoo.trained import Trained
from tests.specs import spec_of

SHORE, CAMERAS = "tests.fakes.shore:shore", "tests.fakes.ferry:ferry"


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes the policy of a spec as if it had been trained; it has no parameters."""

    def make(spec: RunSpec) -> Policy:
        source = tmp_path / "run" / "checkpoints" / "000000000400"
        monkeypatch.setattr(play, "trained", lambda _: Trained(spec, source, 400, 200))
        return policy_of("its name")

    return make


@pytest.mark.slow
def test_a_policy_of_the_zoo_acts_with_other_settings():
    policy = with_settings(policy_of("zoo:osrp_lag/PointCircle1/0"), {"planner.cost_margin": 1})
    agent, _ = play.load(policy)
    assert isinstance(agent, SafeDreamer)
    assert policy.trained.spec.agent.planner.cost_margin != agent.config.planner.cost_margin == 1
    other = with_settings(policy, {"model.deter": 24})
    with pytest.raises(BadInput, match=r"zoo:osrp_lag/PointCircle1/0 cannot act with these"):
        play.load(other)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("osrp_lag", "loop.num_envs"),
        ("osrp_lag", "actor.optimizer.learning_rate"),
        ("sac", "sac.optimizer.clip"),
        ("lambda", "critic.cost_optimizer.eps"),
    ],
)
def test_settings_of_training_alone_change_no_policy(policy, method, name):
    with pytest.raises(BadInput, match=f"{name} is a setting of training"):
        with_settings(policy(spec_of(method, "default", task=SHORE)), {name: 5})


def test_images_have_the_size_of_training(policy):
    spec = spec_of("dreamerv3", "default", task=CAMERAS)
    assert policy(spec).env.obs["image"].shape == (16, 16, 3)
    resized = policy(dataclasses.replace(spec, loop=dataclasses.replace(spec.loop, resize=8)))
    assert resized.env.obs["image"].shape == (8, 8, 3)


@pytest.mark.omnisafe  # its settings describe the policy
def test_finished_cells_outlive_the_process_that_played_them(policy, tmp_path, monkeypatch):
    cells = [UNDISTURBED_CELL, *(Cell(PERTURBATIONS["action_gain"], s) for s in (0.5, 1.0))]
    spec = spec_of("ppo_lag", "default", task=SHORE)

    def killed(
        do: str, order: RunSpec, run: Path, cells: Sequence[dict[str, Any]], **options: Any
    ) -> int:
        """Play two cells and die in the third."""
        for number, cell in enumerate(cells[:2]):
            episodes = [Episode(1000 + i, number + 0.1 * i, 2.0, 20) for i in range(2)]
            rows = (EpisodeRecord.of(order, EVAL, e, 400, 200, 1.5) for e in episodes)
            write_records(cell["out"], rows)
        raise RunFailed("the process of ppo_lag was killed by SIGKILL")

    monkeypatch.setattr(process, "run_in_child", killed)
    done = []
    with pytest.raises(RunFailed, match="killed by SIGKILL"):
        for cell, rows, _ in play.play(policy(spec), cells, Episodes(7, 2), tmp_path, print):
            done.append((cell, rows))
    assert [cell for cell, _ in done] == cells[:2]
    row = done[1][1][1]
    assert (row.perturbation, row.strength) == ("action_gain", 0.5)
    # the run's own id, and the seed of the layouts
    episode = Episode(1001, 1.1, 2.0, 20)
    assert row.record == EpisodeRecord.of(spec, EVAL, episode, 400, 200, 1.5)._replace(seed=7)
