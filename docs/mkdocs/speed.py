"""Tables of `results/perf`, for docs/reference/speed.md: what its files say, nothing typed in."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[2] / "results" / "perf"
Cells = tuple[Sequence[str], Sequence[Sequence[object]]]
RATIOS = {"release's time": "ratio_to_release", "the other checkout's time": "ratio_to_against"}


def measured(name: str, cells: Callable[[list[dict[str, Any]]], Cells]) -> Callable[[], str]:
    """The table of a file, with its command and machine below; KeyError where it has other rows."""

    def text() -> str:
        from reference import table

        data = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
        head, rows = cells(data["rows"])
        hardware = data["hardware"]
        where = f"{hardware.get('cpu', 'unknown processor')}, {hardware.get('cores', '?')} cores"
        other = data.get("against")
        against = f" The other checkout was at {other['commit'][:7]}." if other else ""
        return f"{table(head, rows)}\n\n`{data['command']}`, on {where}.{against}"

    return text


def timings(rows: list[dict[str, Any]]) -> Cells:
    """Seconds, peak memory, share of the peak, and ratios where they were measured."""
    head = ["what", "seconds", "peak memory", "share of peak", *RATIOS]
    cells = []
    for row in rows:
        ratios = [f"{row[name]:.2f}" if name in row else "–" for name in RATIOS.values()]
        cells.append(
            (
                row["name"],
                f"{row['median']:.3g}",
                f"{row['peak_bytes'] / 1e9:.1f} GB" if "peak_bytes" in row else "–",
                f"{row['share_of_peak']:.0%}",
                *ratios,
            )
        )
    used = [i for i in range(len(head)) if i < 4 or any(row[i] != "–" for row in cells)]
    return [head[i] for i in used], [[row[i] for i in used] for row in cells]


def throughput(rows: list[dict[str, Any]]) -> Cells:
    """Simulator steps per second and where wall time goes, by number of environments."""
    head = (
        "method",
        "environments",
        "simulator steps/s",
        "learner",
        "acting",
        "environments' part",
    )
    return head, [
        (
            f"`{row['method']}`",
            row["num_envs"],
            f"{row['env_steps_per_second']:.0f}",
            *(f"{row[f'{part}_share']:.0%}" for part in ("learner", "act", "env")),
        )
        for row in rows
    ]


def plans(rows: list[dict[str, Any]]) -> Cells:
    """What plans are worth, by search and budget."""
    head = ("search", "plans x iterations", "model steps", "return", "cost return", "value")
    return head, [
        (
            row["search"],
            f"{row['candidates']} x {row['iterations']}",
            f"{row['model_steps']:,}",
            *(f"{row[name]:.2f}" for name in ("return", "cost return", "value")),
        )
        for row in rows
    ]


TABLES: dict[str, Callable[[], str]] = {
    "speed-release": measured("release", timings),
    "speed-cpu": measured("cpu", timings),
    "speed-baselines": measured("baselines", timings),
    "speed-scaling": measured("scaling", timings),
    "speed-loop": measured("loop", throughput),
    "speed-planning": measured("planning", plans),
}
