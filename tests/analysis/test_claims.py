"""The paper's claims, judged on hand-written tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.report.claims import CLAIMS, Judged, Verdict, judge

NAN = float("nan")


def table(*rows: tuple) -> pd.DataFrame:
    """Rows of ([task,] method, return, cost, half-width of the cost interval, seeds)."""
    full = [row if len(row) == 6 else ("SafetyPointCircle1-v0", *row) for row in rows]
    columns = ["task", "method", "return", "cost", "cost_half", "seeds"]
    frame = pd.DataFrame(full, columns=columns)
    return frame.assign(obs="lidar", return_half=3.0, cost_limit=2.0)


def verdict(frame: pd.DataFrame, text: str) -> Judged:
    (found,) = (judged for judged in judge(frame) if text in judged.text)
    return found


@pytest.mark.parametrize(
    ("cost", "half", "seeds", "expected"),
    [
        (1.0, 2.0, 5, Verdict.REPRODUCED),
        (1.0, NAN, 2, Verdict.PARTLY),  # too few seeds
        (4.0, 2.0, 5, Verdict.NOT),  # its interval reaches 6
        (30.0, 9.0, 5, Verdict.NOT),
        (30.0, NAN, 1, Verdict.UNDECIDED),  # too few seeds
        (np.nan, NAN, 0, Verdict.UNTESTED),
    ],
)
def test_nearly_zero_cost_means_the_whole_interval(cost, half, seeds, expected):
    frame = table(("bsrp_lag", 30.0, cost, half, seeds))
    assert verdict(frame, "BSRP-Lag reaches").verdict == expected


def test_a_claim_that_holds_on_some_tasks_is_partly_reproduced():
    frame = table(
        ("SafetyPointCircle1-v0", "osrp", 30.0, 0.0, 0.5, 5),
        ("SafetyPointGoal1-v0", "osrp", 10.0, 60.0, 5.0, 5),
    )
    found = verdict(frame, "OSRP reaches")
    assert found.verdict == Verdict.PARTLY
    assert "60.0" in found.evidence and "5 seeds" in found.evidence


@pytest.mark.parametrize(
    ("cost", "half", "expected"),
    [(0.0, NAN, Verdict.REPRODUCED), (60.0, NAN, Verdict.PARTLY)],
)
def test_a_task_with_one_seed_can_weaken_a_claim_but_not_by_agreeing(cost, half, expected):
    frame = table(
        ("SafetyPointCircle1-v0", "osrp", 30.0, 0.0, 0.5, 5),
        ("SafetyPointGoal1-v0", "osrp", 10.0, cost, half, 1),
    )
    assert verdict(frame, "OSRP reaches").verdict == expected


def test_an_unsafe_agent_has_to_break_the_limit_with_its_whole_interval():
    certain = table(("dreamerv3", 47.0, 200.0, 50.0, 5))
    doubtful = table(("dreamerv3", 47.0, 20.0, 19.0, 5))
    assert verdict(certain, "DreamerV3").verdict == Verdict.REPRODUCED
    assert verdict(doubtful, "DreamerV3").verdict == Verdict.NOT


def test_more_return_counts_at_nearly_zero_cost_only():
    ours = ("bsrp_lag", 30.0, 0.0, 0.5, 5)
    poorer = table(ours, ("ppo_lag", 20.0, 0.0, 0.5, 5))
    richer = table(ours, ("ppo_lag", 40.0, 0.0, 0.5, 5))
    reckless = table(ours, ("ppo_lag", 40.0, 90.0, 0.5, 5))
    results = [verdict(x, "than PPO-Lag").verdict for x in (poorer, richer, reckless)]
    assert results == [Verdict.REPRODUCED, Verdict.NOT, Verdict.REPRODUCED]
    close = table(ours, ("ppo_lag", 26.0, 0.0, 0.5, 5))  # 4 < 3 * sqrt(2)
    assert verdict(close, "than PPO-Lag").verdict == Verdict.PARTLY
    lucky = table(ours, ("ppo_lag", 29.0, 20.0, 60.0, 5))  # nor do costs differ clearly
    assert verdict(lucky, "than PPO-Lag").verdict == Verdict.PARTLY
    alone = verdict(table(ours), "than PPO-Lag")
    assert (alone.verdict, alone.evidence) == (Verdict.UNTESTED, "")


def test_every_claim_is_judged_once_and_images_need_images():
    frame = table(("osrp_lag", 30.0, 0.0, 0.5, 5))
    judged = judge(frame)
    assert [j.text for j in judged] == [claim.text for claim in CLAIMS]
    assert verdict(frame, "from images").verdict == Verdict.UNTESTED
    assert verdict(frame.assign(obs="vision"), "from images").verdict == Verdict.REPRODUCED
