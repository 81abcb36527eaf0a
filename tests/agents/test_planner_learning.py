"""Variants that plan online solve a toy task: walk to the shore, avoid the water."""

from __future__ import annotations

import pytest

from tests.fakes.toys import stops_at_the_edge, walks_into_the_water
from tests.safedreamer_shore import solve

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("method", ["osrp", "osrp_lag"])
def test_constrained_plans_stop_at_the_edge(method: str, tmp_path):
    solve(method, tmp_path, stops_at_the_edge)


def test_unconstrained_plans_walk_into_the_water(tmp_path):
    solve("cem", tmp_path, walks_into_the_water, steps=2000)
