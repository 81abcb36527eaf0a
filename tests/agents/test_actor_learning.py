"""Variants that act with the actor solve a toy task: walk to the shore, avoid the water."""

from __future__ import annotations

import pytest

from tests.fakes.toys import stops_at_the_edge, walks_into_the_water
from tests.safedreamer_shore import solve

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("multiplier", ["augmented", "pid"])
def test_with_either_multiplier_it_stops_at_the_edge(multiplier: str, tmp_path):
    solve("bsrp_lag", tmp_path, stops_at_the_edge, multiplier=multiplier)


def test_without_a_constraint_it_walks_into_the_water(tmp_path):
    solve("dreamerv3", tmp_path, walks_into_the_water, steps=2000)
