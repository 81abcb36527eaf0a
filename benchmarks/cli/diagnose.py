"""`safedreamer diagnose`: what a run's agent believes against what happens, see benchmarks.diagnose."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli.common import parse
from benchmarks.spec import BadInput

PROG = "safedreamer diagnose"
SHOWN = (0, 1, 2, 3, 5, 10, 15)  # steps ahead in the printed table; the file has all


@dataclasses.dataclass(frozen=True)
class DiagnoseArgs:
    """Which run, and how much of it."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder of `safedreamer train`."""
    episodes: int = 10
    """Episodes of new layouts; more than 16 are played in turns."""
    context: int = 20
    """Observed agent steps before a prediction."""
    horizon: int = 15
    """Predicted agent steps."""
    out: Path | None = None
    """File for all figures; diagnosis-STEPS.csv in the run folder if not given."""


def main(args: Sequence[str]) -> int:
    """Play, predict, print a table and write the file; returns 0."""
    chosen = parse(DiagnoseArgs, args, PROG, "Compare what a run's agent predicts with what happens on new layouts.")
    for name in ("episodes", "context", "horizon"):
        if getattr(chosen, name) < 1:
            raise BadInput(f"{name}={getattr(chosen, name)} must be at least 1")
    from agents.safedreamer.agent import SafeDreamer
    from benchmarks.diagnose import diagnose
    from benchmarks.evaluate import evaluation_key, play
    from benchmarks.run import environment, trained_agent
    from benchmarks.run_folder import newest

    spec, saved, env_steps, _ = newest(chosen.run)
    make, env_spec = environment(spec)
    agent, state = trained_agent(spec, saved, env_spec)
    if not isinstance(agent, SafeDreamer):
        raise BadInput(f"{spec.method} has no world model of the SafeDreamer family to diagnose")
    print(
        f"{spec.method} on {spec.task} ({spec.obs}) after {env_steps:,} simulator steps; {chosen.episodes} episodes", flush=True
    )
    traces = play(agent, state, make, spec.seed, chosen.episodes, evaluation_key(spec.seed, env_steps))
    try:
        findings = diagnose(agent, state, traces, context=chosen.context, horizon=chosen.horizon, seed=spec.seed)
    except ValueError as error:
        raise BadInput(str(error)) from error
    print(table(findings))
    out = chosen.out or chosen.run / f"diagnosis-{env_steps}.csv"
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("quantity", "steps_ahead", "value"))
        writer.writerows(findings)
    print(f"wrote {out}")
    return 0


def table(findings: Sequence[tuple[str, int, float]]) -> str:
    """Findings that have steps ahead as columns, then the others one to a line."""
    by_step: dict[str, dict[int, float]] = {}
    single = []
    for quantity, steps, value in findings:
        if steps < 0:
            single.append(f"{quantity:<58} {value:10.3f}")
        else:
            by_step.setdefault(quantity, {})[steps] = value
    columns = [k for k in SHOWN if any(k in values for values in by_step.values())]
    lines = [f"{'agent steps ahead':<44}" + "".join(f"{k:>8}" for k in columns)]
    lines += [f"{name:<44}" + "".join(f"{values[k]:8.3f}" for k in columns) for name, values in by_step.items()]
    return "\n".join([*lines, "", *single])
