"""Safe SLAC solves the toy task of tests/safedreamer_shore.py.

It walks to the shore and stays out of the water.
"""

from __future__ import annotations

import pytest

from agents.settings import OptimizerConfig
from baselines.sac.config import MultiplierConfig, SACConfig
from baselines.safe_slac.agent import SafeSLAC
from baselines.safe_slac.config import LatentConfig, SafeSLACConfig
from tests.fakes.toys import solve_shore, stops_at_the_edge

pytestmark = pytest.mark.slow
CONFIG = SafeSLACConfig(
    cost_limit=1.0,
    pretrain_updates=200,
    latent=LatentConfig(
        z1=4,
        z2=12,
        feature=16,
        units=32,
        layers=1,
        reward_std_min=0.1,
        cost_scale=1.0,
        cost_positive=3.0,
        vector_variance=0.02,
        batch=8,
        optimizer=OptimizerConfig(1e-3, 1e-8, 40.0),
    ),
    sac=SACConfig(
        units=32,
        discount=0.95,
        cost_discount=0.95,
        temperature=0.05,
        target_fraction=0.02,
        eval_action="mode",
        optimizer=OptimizerConfig(2e-3, 1e-8, 40.0),
    ),
    multiplier=MultiplierConfig(0.05, 0.01),
)


def test_it_stops_at_the_edge(tmp_path):
    loop = {"train_ratio": 48.0, "batch_size": 24, "batch_length": 4}
    solve_shore(tmp_path, "safe_slac", CONFIG, SafeSLAC, stops_at_the_edge, 2000, **loop)
