"""`python -m benchmarks.perf.planning RUN [--out results/perf]`.

Compare the value of plans with the model steps spent on them.

Beliefs are those of a frozen agent on unseen layouts. From each belief, every search plans once
without a warm start, and its plan is evaluated in new imagined rollouts, so that no plan benefits
from the luck of the rollouts that selected it. Result rows name the search, its model steps, and
the world model's evaluation of its plans; the share of the reference's gain is (value - value of
doing nothing) / (reference's - doing nothing).
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from agents.api import PyTree
from agents.safedreamer.agent import Carry, SafeDreamer
from agents.safedreamer.planner import SCORERS
from agents.safedreamer.planner_config import PlannerConfig
from benchmarks.cli.common import program
from benchmarks.envs import VectorEnv
from benchmarks.envs.factory import MakeEnv
from benchmarks.methods.saved import newest
from benchmarks.runs.errors import BadInput
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import write_report
from benchmarks.training.episodes import UNSEEN_EPISODE
from benchmarks.training.keys import fold_in
from benchmarks.training.launch import environment, trained_agent

PROG = "python -m benchmarks.perf.planning"
# Candidates and iterations; a tenth of the candidates are elites, but no fewer than MIN_ELITES.
BUDGETS = ((500, 6), (500, 3), (250, 6), (250, 3), (125, 6), (125, 3), (64, 4), (64, 2), (32, 3))
REFERENCE = ("gaussian", 500, 6)
MIN_ELITES = 5
ICEM = {"noise_exponent": 2.0, "kept_elites": 3, "candidate_decay": 1.25}
# as published; a preset has others
PUBLISHED: dict[str, Any] = {
    "noise_exponent": 0.0,
    "kept_elites": 0,
    "candidate_decay": 1.0,
    "actor_fraction": 0.0,
}
SEARCHES: dict[str, dict[str, Any]] = {  # what differs from it
    "gaussian": {},
    "coloured": {"noise_exponent": 2.0},
    "kept": {"kept_elites": 3},
    "shrinking": {"candidate_decay": 1.25},
    "icem": ICEM,
    "actor": {"actor_fraction": 0.25},
    "icem and actor": {**ICEM, "actor_fraction": 0.25},
}


@dataclasses.dataclass(frozen=True)
class PlanningOptions:
    """Compare search variants of the planner at equal beliefs."""

    run: Annotated[Path, tyro.conf.Positional]
    """Run folder of a SafeDreamer variant with a checkpoint."""
    searches: tuple[str, ...] = tuple(SEARCHES)
    """Search variants to compare."""
    episodes: int = 8
    """Unseen episodes from which beliefs are taken."""
    every: int = 10
    """Agent steps between beliefs of an episode."""
    rollouts: int = 16
    """Imagined rollouts that evaluate a plan."""
    horizon: int = 15
    """Planned agent steps."""
    multiplier: float | None = None
    """Weight of the cost return in a plan's value; default: the run's multiplier."""
    out: Path | None = None
    """Folder for planning.json; if not given, results are only printed."""


class Start(NamedTuple):
    """Inputs of beliefs [S, ...]: a policy's carry and the observation after it."""

    carry: Carry
    obs: dict[str, Any]


def collect(
    agent: SafeDreamer, state: PyTree, make: MakeEnv, seed: int, options: PlanningOptions
) -> Start:
    """Collect beliefs every `every` steps of unseen episodes."""
    carry, key, kept = agent.init_carry(options.episodes), jax.random.key(seed), []
    with VectorEnv(make, options.episodes, seed, "eval", "inline", UNSEEN_EPISODE) as envs:
        step = envs.reset()
        for count in range(agent.env.episode_agent_steps):
            actions, carry, _ = agent.act(
                state, carry, step.obs, step.is_first, fold_in(key, count), "eval"
            )
            if count % options.every == options.every - 1:
                kept.append(Start(carry, dict(step.obs)))
            step = envs.step(np.asarray(actions))
            if step.is_last.any():
                break
    return jax.tree.map(lambda *x: jnp.concatenate([jnp.asarray(part) for part in x]), *kept)


def with_search(
    base: PlannerConfig, settings: dict[str, Any], candidates: int, iterations: int, horizon: int
) -> PlannerConfig:
    """The base planner with this search and budget; actor rollouts count towards the budget."""
    share = settings.get("actor_fraction", 0.0)
    sampled = round(candidates / (1.0 + share))
    return dataclasses.replace(
        base,
        **(PUBLISHED | settings),
        candidates=sampled,
        elites=max(MIN_ELITES, candidates // 10),
        iterations=iterations,
        horizon=horizon,
    )


def model_steps(planner: PlannerConfig) -> int:
    """Imagined steps per decision."""
    plans = sum(planner.candidates_per_iteration) + planner.iterations * planner.proposals
    return plans * planner.horizon * planner.pessimism


def judge(
    agent: SafeDreamer, state: PyTree, start: Start, rollouts: int, multiplier: jax.Array
) -> dict[str, float]:
    """Evaluate the plans found by this agent's search in the world model; means over beliefs.

    value: the λ-return minus `multiplier` times the cost return; doing nothing likewise.
    """
    planner = agent.config.planner
    judging = dataclasses.replace(planner, latents="sample", pessimism=1)

    @jax.jit
    def run(params: PyTree, start: Start, key: jax.Array) -> dict[str, jax.Array]:
        nets = agent.networks(params)
        belief = nets.model.belief(start.carry.latent, start.obs)
        plan_key, judge_key = jax.random.split(key)
        count = start.carry.action.shape[0]
        nothing = jnp.zeros((count, planner.horizon + 1, agent.env.action_dim))
        found = agent.plan(nets, belief, nothing, multiplier, plan_key).mean
        evaluate = agent.evaluation(nets, belief, judging)

        def imagined(plans: jax.Array) -> dict[str, jax.Array]:
            outcomes = evaluate(jnp.repeat(plans[:, None], rollouts, 1), judge_key)
            value = SCORERS["lagrangian"](outcomes, multiplier)
            safe = outcomes.episode_cost.mean(-1) <= agent.config.cost_limit
            means = {"return": outcomes.ret, "cost return": outcomes.cost_return, "value": value}
            return {name: x.mean() for name, x in means.items()} | {"safe share": safe.mean()}

        still = imagined(nothing)["value"]
        return imagined(found) | {"value of doing nothing": still}

    result = run(state.params, start, jax.random.key(0))
    return {name: float(x) for name, x in result.items()}


def measure(options: PlanningOptions) -> list[dict[str, Any]]:
    """Measure every search and budget; one row each."""
    spec, saved, _, _ = newest(options.run)
    make, env_spec = environment(spec)
    agent, state = trained_agent(spec, saved, env_spec)
    if not isinstance(agent, SafeDreamer):
        raise BadInput(f"{spec.method} does not plan in a world model of the SafeDreamer family")
    start = collect(agent, state, make, spec.seed, options)
    price = options.multiplier
    if price is None:
        price = state.pid.multiplier if agent.config.uses_pid else state.augmented.multiplier
    multiplier = jnp.asarray(price, jnp.float32)
    base = dataclasses.replace(agent.config.planner, objective="lagrangian")
    rows = []
    for name in options.searches:
        for candidates, iterations in BUDGETS:
            planner = with_search(base, SEARCHES[name], candidates, iterations, options.horizon)
            config = dataclasses.replace(
                agent.config, act_with="planner", multiplier="pid", planner=planner
            )
            planning = SafeDreamer(config, env_spec)
            row = judge(planning, state, start, options.rollouts, multiplier)
            budget = {"candidates": candidates, "iterations": iterations}
            rows.append({"search": name, **budget, "model_steps": model_steps(planner), **row})
            print(
                f"{name:>14} {candidates:>4} x {iterations}: {rows[-1]['model_steps']:>7,} model "
                f"steps, return {row['return']:.3f} at {row['cost return']:.3f}, value "
                f"{row['value']:.3f}, safe {row['safe share']:.2f}",
                flush=True,
            )
    return with_shares(rows)


def with_shares(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their share of the reference's gain, if the reference is among them."""
    reference = next(
        (r for r in rows if (r["search"], r["candidates"], r["iterations"]) == REFERENCE), None
    )
    if reference is None:
        return rows
    gain = reference["value"] - reference["value of doing nothing"]
    return [
        row | {"share of gain": (row["value"] - row["value of doing nothing"]) / gain}
        for row in rows
    ]


def main(options: PlanningOptions) -> int:
    if unknown := set(options.searches) - set(SEARCHES):
        raise BadInput(f"unknown searches {sorted(unknown)}; valid: {', '.join(SEARCHES)}")
    if options.out:
        check_folder(options.out)
    rows = measure(options)
    if options.out:
        said = {name: str(value) for name, value in dataclasses.asdict(options).items()}
        path = options.out / "planning.json"
        write_report(path, {"options": said, "rows": rows})
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(program(PlanningOptions, main, PROG, __doc__))
