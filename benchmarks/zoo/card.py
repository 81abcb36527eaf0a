"""The card of a published policy: spec, inputs, scores and limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.methods import method
from benchmarks.runs.records import EpisodeRecord
from benchmarks.runs.spec import RunSpec

RESCORED = 16  # episodes when a test scores a policy again; all run in parallel
COSTS = {
    "head": "costs learned from the signal alone",
    "none": "no costs at all",
    "tracked": "where hazards are (`model.cost_source=tracked`): no learned costs",
    "geometry": "hazards of known radius (`model.cost_source=geometry`): no learned costs",
}


def mean_interval(
    values: Sequence[float], level: float = 0.95, further: int | None = None
) -> tuple[float, float]:
    """Student's t interval from n >= 2 values: for their distribution's mean or, with `further`
    = m, for the mean of m further values.

        mean ± t[n - 1, (1 + level) / 2] * s * sqrt(1 / n + 1 / m)
    """
    from scipy.special import stdtrit

    found = np.asarray(values, np.float64)
    share = 1.0 / len(found) + (1.0 / further if further else 0.0)
    half = stdtrit(len(found) - 1, (1.0 + level) / 2.0) * found.std(ddof=1) * np.sqrt(share)
    return float(found.mean() - half), float(found.mean() + half)


def scores(rows: Sequence[EpisodeRecord]) -> dict[str, Any]:
    """Mean return and cost of the frozen policy with 95 % intervals over layouts."""
    found: dict[str, Any] = {
        "episodes": len(rows),
        "layouts": [rows[0].episode, rows[-1].episode],
        "episodes_with_cost": sum(row.cost > 0 for row in rows),
    }
    for name, values in (("return", [r.return_ for r in rows]), ("cost", [r.cost for r in rows])):
        low, high = mean_interval(values)
        found[name] = {"mean": float(np.mean(values)), "low": low, "high": high}
    return found


def rescore(rows: Sequence[EpisodeRecord], limit: float | None) -> dict[str, Any]:
    """99 % intervals for the mean return and cost of RESCORED further episodes.

    A cost within the limit is never too high: if no episode had any cost, the interval is a single
    point, but different rounding may still cause an occasional contact.
    """
    low, high = mean_interval([r.return_ for r in rows], 0.99, RESCORED)
    costs = mean_interval([r.cost for r in rows], 0.99, RESCORED)
    return {
        "episodes": RESCORED,
        "return": [low, high],
        "cost": [max(0.0, costs[0]), max(costs[1], limit or 0.0)],
    }


def given(spec: RunSpec) -> str:
    """The agent's inputs besides reward and cost of each step."""
    model = getattr(spec.agent, "model", None)
    source = getattr(model, "cost_source", "head")
    return f"observation `{spec.obs}`; {COSTS.get(source, f'costs from {source}')}"


def limit_of(spec: RunSpec) -> float | None:
    """The cost limit that the agent was trained for; None without one."""
    limit = getattr(spec.agent, "cost_limit", None)
    return None if limit is None else float(limit)


def markdown(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    spec, score, kept = card["spec"], card["scores"], card["parameters"]
    first, last = score["layouts"]

    moved = "an action" if method(spec["method"]).engine == "torch" else "a head"
    limit = "none" if card["cost_limit"] is None else f"{card['cost_limit']:g}"

    def shown(name: str) -> str:
        row = score[name]
        return f"{row['mean']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"

    lines = [
        f"# {card['name']}",
        "",
        f"`safedreamer evaluate zoo:{card['name']} --unseen --episodes {score['episodes']}`",
        "",
        "| | |",
        "|---|---|",
        f"| method, task, seed | {spec['method']}, {spec['task']}, {spec['seed']} |",
        f"| given | {card['given']} |",
        f"| return | {shown('return')} |",
        f"| cost | {shown('cost')}, limit {limit} |",
        f"| scored on | layouts {first} to {last} of the seed, frozen, 95 % interval of the mean; "
        f"{score['episodes_with_cost']} of {score['episodes']} had any cost |",
        f"| trained | {card['trained']['env_steps']:,} simulator steps, action repeat "
        f"{spec['loop']['action_repeat']}, preset {spec['preset']} |",
        f"| parameters | {kept['count']:,} of {kept['of']:,} in {kept['dtype']}, "
        f"{kept['bytes']:,} bytes; float16 moves {moved} by {kept['float16_error']:.1e} at most |",
        f"| run | `{card['run_id']}`, commit `{card['commit'] or 'unknown'}` |",
        f"| hardware | {card['hardware']} |",
        f"| versions | {card['versions']} |",
        "",
        f"Limits: {card['limits']}",
    ]
    return "\n".join(lines) + "\n"
