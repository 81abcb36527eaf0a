"""`safedreamer stress`: trained policies under perturbations, on other tasks, with worse models.

The same command again plays only missing cells.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from benchmarks.cli import analysis
from benchmarks.cli.common import parse
from benchmarks.envs.factory import choose_python
from benchmarks.runs.errors import BadInput
from benchmarks.runs.places import check_folder, user_path
from benchmarks.zoo.trained import here, named

if TYPE_CHECKING:
    from benchmarks.stress.plan import Plan
    from benchmarks.stress.play import Cell, Episodes
    from benchmarks.stress.records import Row
    from benchmarks.stress.results import StressResults
    from benchmarks.stress.suite import Suite

PROG = "safedreamer stress"


@dataclasses.dataclass(frozen=True)
class StressArgs:
    """Play trained policies under perturbations of growing strength."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Run folders of `safedreamer train` or of a sweep, zoo:METHOD/TASK/SEED, or hub:TARGET of
    `safedreamer push`.
    """
    suite: str = "robustness"
    """robustness (sensors, images, actuators, dynamics, tasks), model (world models), transfer
    (other tasks), a suite of the package, or a YAML file; the first two leave out perturbations
    that do not apply to a policy.
    """
    only: tuple[str, ...] = ()
    """Perturbations instead of all of the suite's, by name or as module:factory; `--dry-run` lists
    them.
    """
    strengths: tuple[float, ...] = ()
    """Strengths for each perturbation instead of its default ones; 0 is always played."""
    tasks: tuple[str, ...] = ()
    """Tasks for the suite transfer; those of the runs if not given."""
    set: tuple[str, ...] = ()
    """Agent settings to override, such as planner.cost_margin=1 planner.pessimism=4."""
    episodes: int | None = None
    """Episodes per cell; the suite's, or 10, if not given."""
    seed: int | None = None
    """Seed of the layouts, the same for all runs; the suite's, or 0, if not given."""
    out: Path | None = None
    """Folder for records, table and figure; stress-SUITE in the first run folder, or here for the
    zoo and shared runs, if not given.
    """
    workers: Literal["process", "inline"] = "inline"
    """All environments in this process, or one process per environment, which takes seconds to
    start in every cell.
    """
    dry_run: bool = False
    """Print the cells of each run, and what is left out and why, without playing any."""
    env_python: str | None = None
    """Python interpreter for the environments, with Safety-Gymnasium; if not given,
    SAFEDREAMER_ENV_PYTHON, else this one.
    """


def main(args: Sequence[str]) -> int:
    """Play, print a table per run, and plot the figure; returns the status of plotting."""
    chosen = parse(StressArgs, args, PROG)
    if not chosen.runs:
        raise BadInput("give at least one run folder, zoo:METHOD/TASK/SEED or hub:TARGET")
    if chosen.episodes is not None and chosen.episodes < 1:
        raise BadInput(f"--episodes {chosen.episodes} must be at least 1")
    choose_python(chosen.env_python)
    out = chosen.out or _default_out(chosen.runs[0], f"stress-{Path(chosen.suite).stem}")
    check_folder(out)
    from benchmarks.stress.play import Episodes
    from benchmarks.stress.results import StressResults, locked
    from benchmarks.stress.suite import load

    suite = load(chosen.suite)
    plans = planned(chosen, suite)
    for plan in plans:
        print(describe(plan), flush=True)
    if chosen.dry_run:
        return 0
    seed = suite.seed if chosen.seed is None else chosen.seed
    episodes = Episodes(seed, chosen.episodes or suite.episodes, chosen.workers)
    with locked(out, warn):
        results = StressResults(out, plans, episodes)
        for plan in plans:
            play_plan(plan, results, episodes)
        print(f"wrote {results.file}", flush=True)
        return analysis.run("stress", [str(out)])


def _default_out(run: str, name: str) -> Path:
    return Path(f"{here(run)}-{name}") if named(run) else user_path(run) / name


def planned(chosen: StressArgs, suite: Suite) -> list[Plan]:
    """Plan the cells of every run. Raises BadInput before anything is played."""
    from benchmarks.stress.plan import perturbed, transferred, with_settings
    from benchmarks.stress.play import policy_of
    from benchmarks.stress.suite import TRANSFER, narrowed
    from benchmarks.suites.acting import parsed

    values = parsed(chosen.set)
    policies = [with_settings(policy_of(run), values) for run in chosen.runs]
    ids = [policy.spec.run_id for policy in policies]
    if len(set(ids)) < len(ids):
        raise BadInput("two of the folders hold the same run")
    if suite.name == TRANSFER:
        if chosen.only or chosen.strengths:
            raise BadInput("--only and --strengths go with perturbations, not with transfer")
        tasks = chosen.tasks or tuple(dict.fromkeys(p.spec.task for p in policies))
        plans = [transferred(policy, tasks) for policy in policies]
        if all(len(plan.cells) == 1 for plan in plans) and any(p.left_out for p in plans):
            raise BadInput(next(why for plan in plans for why in plan.left_out.values()))
        return plans
    if chosen.tasks:
        raise BadInput("--tasks goes with --suite transfer")
    suite = narrowed(suite, chosen.only, chosen.strengths)
    return [perturbed(policy, suite) for policy in policies]


def describe(plan: Plan) -> str:
    """The policy, its cells by perturbation, and what is left out."""
    policy, strengths = plan.policy, {}
    for cell in plan.cells:
        levels = strengths.setdefault(cell.task or cell.perturbation.name, [])
        levels.append(f"{cell.strength:g}")
    spec, env_steps = policy.spec, policy.trained.env_steps
    lines = [
        f"{policy.label} on {spec.task} ({spec.obs}), seed {spec.seed}, after {env_steps:,} "
        f"simulator steps: {len(plan.cells)} cells"
    ]
    lines += [f"  {name:<18} {' '.join(levels)}" for name, levels in strengths.items()]
    lines += [f"  {name:<18} left out: {why}" for name, why in plan.left_out.items()]
    return "\n".join(lines)


def play_plan(plan: Plan, results: StressResults, episodes: Episodes) -> None:
    """Play missing cells; print all cells with their means."""
    from benchmarks.stress.play import play

    policy, began = plan.policy, time.perf_counter()

    def show(cell: Cell, rows: Sequence[Row], how: str) -> None:
        name = cell.task or cell.perturbation.name
        return_, cost = (fmean(getattr(r.record, x) for r in rows) for x in ("return_", "cost"))
        means = f"{return_:>9.2f} {cost:>8.2f}"
        print(f"{name:<24} {cell.strength:>8g} {means} {len(rows):>8}{how}", flush=True)

    print(f"{policy.label}\n{'':<24} {'strength':>8} {'return':>9} {'cost':>8} {'episodes':>8}")
    waiting = results.missing(policy, plan.cells)
    for cell in plan.cells:
        if cell not in waiting:
            show(cell, results.of(policy, cell), "  (was there)")
    with tempfile.TemporaryDirectory(prefix="stress-") as scratch:
        played = play(policy, waiting, episodes, Path(scratch), warn) if waiting else ()
        for cell, rows, errors in played:
            results.add(rows, errors)
            show(cell, rows, "")
    print(f"{len(waiting)} cells in {time.perf_counter() - began:.0f} s", flush=True)


def warn(text: str) -> None:
    """Print a warning to stderr."""
    print(f"{PROG}: {text}", file=sys.stderr, flush=True)
