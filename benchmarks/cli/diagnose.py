"""`safedreamer diagnose`: compare the predictions of a run's agent with what happens, see
benchmarks.diagnosis.diagnose.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro

from benchmarks.cli import analysis
from benchmarks.cli.common import parse
from benchmarks.diagnosis.findings import (
    AT_POSTERIOR,
    LAST_SEEN,
    MEAN,
    MODEL,
    NEW,
    REPLAYED,
    Finding,
    write,
)
from benchmarks.envs.factory import choose_python
from benchmarks.runs.errors import BadInput, as_bad_input
from benchmarks.runs.places import check_file

PROG = "safedreamer diagnose"
SHOWN = (0, 1, 2, 3, 5, 10, 15)  # steps ahead in the printed table; the file has all
SHOWN_ROWS = 8  # of the history of training


@dataclasses.dataclass(frozen=True)
class DiagnoseArgs:
    """Compare what a run's agent predicts with what happens on new layouts."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder of `safedreamer train`."""
    episodes: int = 10
    """Episodes on unseen layouts, at most 16 at a time."""
    context: int = 20
    """Observed agent steps before a prediction."""
    horizon: int = 15
    """Agent steps to predict."""
    stride: int = 5
    """Agent steps between the starts of two predictions."""
    actions: Literal["agent", "random"] = "agent"
    """Actions of the evaluation policy, or uniform random ones, which incur costs that a safe agent
    avoids.
    """
    out: Path | None = None
    """CSV file for all values; plots are written next to it. If not given, diagnosis-STEPS.csv in
    the run folder, with random actions and the numbers that you change in its name.
    """
    env_python: str | None = None
    """Python interpreter for the environments, with Safety-Gymnasium; if not given,
    SAFEDREAMER_ENV_PYTHON, else this one.
    """


def main(args: Sequence[str]) -> int:
    """Play, predict, print tables, write the file and plot it; returns the status of plotting."""
    chosen = parse(DiagnoseArgs, args, PROG)
    if chosen.out is not None:
        check_file(chosen.out)
        if chosen.out.suffix in (".png", ".pdf"):
            raise BadInput(
                f"--out {chosen.out}: a plot of that name is written next to the values, so give a "
                ".csv file"
            )
    choose_python(chosen.env_python)
    from agents.safedreamer.agent import SafeDreamer
    from baselines.mbpo.agent import MBPO
    from benchmarks.diagnosis.cost_history import cost_history, frozen_against_running
    from benchmarks.diagnosis.diagnose import diagnose
    from benchmarks.diagnosis.replayed import replayed_against_new
    from benchmarks.methods.saved import newest
    from benchmarks.training.evaluation import play
    from benchmarks.training.keys import evaluation_key
    from benchmarks.training.launch import environment, trained_agent

    spec, saved, env_steps, _ = newest(chosen.run)
    random = chosen.actions == "random"
    out = chosen.out or _default_out(chosen, env_steps)
    check_file(out)
    make, env_spec = environment(spec)
    agent, state = trained_agent(spec, saved, env_spec)
    dreams = isinstance(agent, SafeDreamer)
    if not (dreams or (isinstance(agent, MBPO) and agent.config.uses_model)):
        raise BadInput(
            f"{spec.method} has no model that can be diagnosed; SafeDreamer's methods, mbpo, dyna "
            "and mve have"
        )
    title = f"{spec.method} on {spec.task} ({spec.obs}) after {env_steps:,} simulator steps"
    title += ", random actions" if random else ""
    print(f"{title}; {chosen.episodes} episodes", flush=True)
    history = cost_history(chosen.run, agent)
    traces = play(
        agent, state, make, spec.seed, chosen.episodes, evaluation_key(spec.seed, env_steps), random
    )
    with as_bad_input():
        window = {"context": chosen.context, "horizon": chosen.horizon, "stride": chosen.stride}
        findings = diagnose(agent, state, traces, **window, seed=spec.seed)
        if dreams:
            findings += replayed_against_new(
                agent, state, spec, saved, traces, chosen.context, chosen.horizon
            )
    if not random:
        findings += frozen_against_running(chosen.run, traces)
    parts = [table(findings), reliability(findings), over_training(history)]
    if dreams:
        parts.insert(2, by_heart(findings))
    print(*parts, sep="\n\n")
    write(out, [*findings, *history], env_steps)
    print(f"wrote {out}", flush=True)
    return analysis.run("diagnosis", [str(out), "--title", title])


def _default_out(chosen: DiagnoseArgs, env_steps: int) -> Path:
    """A file for each checkpoint and choice of actions and windows."""
    name = f"diagnosis-{env_steps}{'-random' if chosen.actions == 'random' else ''}"
    for option in ("episodes", "context", "horizon", "stride"):
        if (value := getattr(chosen, option)) != getattr(DiagnoseArgs, option):
            name += f"-{option}{value}"
    return chosen.run / f"{name}.csv"


def table(findings: Sequence[Finding]) -> str:
    """Table of the model's predictions by steps ahead, and of baselines; then other findings."""
    by_step: dict[str, dict[str, dict[int, float]]] = {}
    single = []
    for f in findings:
        if math.isnan(f.bin_low) and f.steps_ahead >= 0:
            by_step.setdefault(f.quantity, {}).setdefault(f.predictor, {})[f.steps_ahead] = f.value
        elif math.isnan(f.bin_low) and not f.quantity.startswith(AT_POSTERIOR):
            single.append(f"{f.quantity:<58} {f.value:10.3f}")
    columns = [k for k in SHOWN if any(k in values[MODEL] for values in by_step.values())]
    lines = [_line("agent steps ahead", map(str, columns), 8)]
    for quantity, values in by_step.items():
        lines.append(_line(quantity, (_short(values[MODEL].get(k, math.nan)) for k in columns), 8))
        # errors of two baselines: the smaller one
        others = [values[name] for name in (LAST_SEEN, MEAN) if name in values]
        if others:
            best = (_short(min(other.get(k, math.nan) for other in others)) for k in columns)
            lines.append(_line("    without a model", best, 8))
    return "\n".join([*lines, "", *single])


def reliability(findings: Sequence[Finding]) -> str:
    """Calibration of predicted costs by bin: mean prediction, frequency of costs, steps."""
    cells: dict[int, dict[float, dict[str, float]]] = {}
    what = ""
    for f in findings:
        if not math.isnan(f.bin_low) and f.steps_ahead >= 0:
            what, _, column = f.quantity.partition(": ")
            cells.setdefault(f.steps_ahead, {}).setdefault(f.bin_low, {})[column] = f.value
    if not cells:
        return "this agent predicts no cost probabilities that could be calibrated"
    lines = [f"{what}: mean prediction -> observed frequency (steps)"]
    lines.append(_line("", (f"{k} ahead" for k in cells), 24, 10))
    shown = "{mean prediction:.2f} -> {observed frequency:.2f} ({steps in bin:.0f})"
    for low in sorted({low for rows in cells.values() for low in rows}):
        bins = (shown.format_map(rows[low]) if low in rows else "-" for rows in cells.values())
        lines.append(_line(f"{low:.1f} to {low + 0.1:.1f}", bins, 24, 10))
    return "\n".join(lines)


def by_heart(findings: Sequence[Finding]) -> str:
    """Errors and detected costs at the posterior, of replayed and new rows side by side."""
    cells: dict[str, dict[str, float]] = {}
    for f in findings:
        if f.quantity.startswith(AT_POSTERIOR):
            rows, _, name = f.quantity.removeprefix(AT_POSTERIOR).partition(": ")
            if not math.isnan(f.bin_low):
                name += f", said {f.bin_low:.1f} to {f.bin_low + 0.1:.1f}"
            cells.setdefault(name, {})[rows] = f.value
    if not cells:
        return "the run has no replay (any more) with which new rows could be compared"
    lines = [_line("at the posterior", (REPLAYED, NEW), 15, 58)]
    for name, values in cells.items():
        both = (f"{values[k]:.3f}" if k in values else "-" for k in (REPLAYED, NEW))
        lines.append(_line(name, both, 15, 58))
    return "\n".join(lines)


def over_training(history: Sequence[Finding]) -> str:
    """The latest value of each quantity at evenly spaced simulator steps of training."""
    columns: dict[str, dict[int, float]] = {}
    for f in history:
        if f.env_steps >= 0:
            columns.setdefault(f.quantity.removeprefix("training: "), {})[f.env_steps] = f.value
    steps = sorted({step for values in columns.values() for step in values})
    if not steps:
        return "no history of training"
    every = max(1, math.ceil(len(steps) / SHOWN_ROWS))
    shown = steps[::-1][::every][::-1]
    lines = [_line("over training, simulator steps", (f"{step:,}" for step in shown), 11)]
    for name, values in columns.items():
        latest = [max((step for step in values if step <= at), default=None) for at in shown]
        cells = ("-" if step is None else f"{values[step]:.4g}" for step in latest)
        lines.append(_line(name, cells, 11))
    return "\n".join(lines)


def _line(name: str, cells: Iterable[str], width: int, name_width: int = 52) -> str:
    return f"{name:<{name_width}}" + "".join(f"{cell:>{width}}" for cell in cells)


def _short(value: float) -> str:
    """At most eight characters; a diverging model's errors take exponents."""
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 1000 else f"{value:.2g}"
