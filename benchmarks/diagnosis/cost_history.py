"""Predicted against real episode cost over training, with their effects (multiplier, safe plans),
from a run's own files.

All costs are per episode, as counted by the simulator. A model that underestimates costs is the
known cause of a collapsing multiplier, so the two are shown together.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from agents.safedreamer.agent import SafeDreamer
from baselines.mbpo.agent import MBPO
from benchmarks.diagnosis.findings import Finding
from benchmarks.runs import records
from benchmarks.runs.errors import BadInput
from benchmarks.runs.files import METRICS_FILE, RECORDS_FILE
from benchmarks.runs.reading import expect, read_lines
from benchmarks.training.evaluation import Traces

LAST_EPISODES = 20
REAL, EVALUATED, LIMIT = "training: episode cost", "training: evaluated episode cost", "cost limit"
IMAGINED, PROMISED = "training: imagined episode cost", "training: episode cost that plans promised"
REPLAY_SAID, REPLAY_TRUE = "training: replayed cost predicted", "training: replayed cost true"
MULTIPLIER = "training: multiplier"
SAFE_PLANS = "training: share of safe plans"
NONE_SAFE = "training: share of decisions without any safe plan"


def _safedreamers(agent: SafeDreamer) -> dict[str, tuple[str, float]]:
    """Quantity and scale of each metric. IMAGINED refers to the learned actor, even if a planner
    acts. REPLAY_SAID and REPLAY_TRUE refer to the same replayed steps.
    """
    config, per_step = agent.config, agent.episode_cost_per_step
    # a sum of costs may be extrapolated as in the release; a cost return never is
    summed = config.planner.feasible_cost == "sum"
    planned = per_step / (config.planner.horizon * agent.cost_scale) if summed else 1.0
    return {
        "train/imagined/cost": (IMAGINED, per_step),
        "act/plan/cost": (PROMISED, planned),
        "train/model/cost_predicted": (REPLAY_SAID, per_step),
        "train/model/cost_true": (REPLAY_TRUE, agent.env.episode_agent_steps),
        "train/augmented/multiplier": (MULTIPLIER, 1.0),
        "train/pid/multiplier": (MULTIPLIER, 1.0),
        "act/plan/safe_fraction": (SAFE_PLANS, 1.0),
        "act/plan/none_safe": (NONE_SAFE, 1.0),
    }


def cost_history(run: Path, agent: SafeDreamer | MBPO) -> list[Finding]:
    """One finding per quantity and row of metrics.jsonl, where available.

    Real costs are means over the row's window. For MBPO's family only these, the limit and the
    multiplier are available.
    """
    if isinstance(agent, SafeDreamer):
        scales, limited = _safedreamers(agent), agent.config.use_cost
    else:
        scales, limited = {"train/multiplier": (MULTIPLIER, 1.0)}, agent.config.constrained
    findings = [Finding(LIMIT, -1, agent.config.cost_limit)] if limited else []
    episodes = _episodes(run)
    real, evaluated = (
        episodes[episodes["split"] == split] for split in (records.TRAIN, records.EVAL)
    )
    before = -1
    for row in _metrics(run / METRICS_FILE, scales):
        steps = int(row["env_steps"])
        window = real[(real["env_steps"] > before) & (real["env_steps"] <= steps)]
        if len(window):
            findings.append(Finding(REAL, -1, float(window["cost"].mean()), env_steps=steps))
        for name, (quantity, scale) in scales.items():
            if row.get(name) is not None:
                findings.append(Finding(quantity, -1, row[name] * scale, env_steps=steps))
        before = steps
    for steps, cost in evaluated.groupby("env_steps")["cost"].mean().items():
        findings.append(Finding(EVALUATED, -1, float(cost), env_steps=int(np.asarray(steps))))
    return findings


def frozen_against_running(run: Path, traces: Traces) -> list[Finding]:
    """Episode costs and returns of the last training episodes, when the agent was still learning,
    and of the frozen checkpoint on new layouts.
    """
    episodes = _episodes(run)
    last = episodes[episodes["split"] == records.TRAIN].tail(LAST_EPISODES)
    findings = []
    for name in ("cost", "return"):
        if len(last):
            quantity = f"episode {name}: last {len(last)} training episodes"
            findings.append(Finding(quantity, -1, float(last[name].mean())))
        played = traces.rows["reward" if name == "return" else name].sum(1)
        findings.append(
            Finding(f"episode {name}: frozen, {len(played)} new layouts", -1, float(played.mean()))
        )
    costly = float((traces.rows["cost"].sum(1) > 0).mean())
    return [*findings, Finding("share of new layouts with any cost", -1, costly)]


def _episodes(run: Path) -> pd.DataFrame:
    """The run's records. Raises BadInput if there are none, DamagedFile for a damaged row."""
    try:
        return records.read_records(run)
    except FileNotFoundError as error:
        raise BadInput(f"{run} has no {RECORDS_FILE} to compare predictions with") from error


def _metrics(file: Path, names: Iterable[str]) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl; empty if training has not written any.

    Raises DamagedFile, also if a step or one of the `names` is not a number.
    """
    if not os.path.lexists(file):
        return []
    lines = read_lines(file)
    for number, row in lines:
        kinds = {name: float | None for name in names if name in row}
        expect(row, {"env_steps": int} | kinds, file, line=number)
    return [row for _, row in lines]
