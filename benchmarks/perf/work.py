"""`python -m benchmarks.perf.work`: count the products of an action and an update of each JAX
method, for the GPU-hour estimates of `sweep --dry-run` (benchmarks/sweep/gpu_hours.py).

Rerun when a test reports changed sizes. Nothing is compiled or timed; parameters are shapes only.
Counts are for a GPU, where convolutions are XLA's own.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro

from benchmarks.methods import METHODS, settings
from benchmarks.perf.cases import Case, random_array, random_batch
from benchmarks.perf.flops import Products, jaxpr_products
from benchmarks.sweep.gpu_hours import FILE, operations

ON_GPU = "xla"  # implementation of convolutions on a GPU


class Kind(NamedTuple):
    """A combination counted once, since counts of tasks with the same observation hardly differ."""

    method: str
    obs: str
    preset: str


def kinds() -> list[Kind]:
    """Kinds of the built-in suites that run on a GPU, without variants that change sizes."""
    jax_methods = [name for name, method in METHODS.items() if method.engine == "jax"]

    def under(preset: str) -> list[Kind]:
        return [
            Kind(name, obs, preset)
            for name in jax_methods
            if preset in METHODS[name].presets
            for obs in ("vision", "coordinates")
            if obs in METHODS[name].observations
        ]

    lidar = ("osrp", "osrp_lag", "bsrp_lag", "dreamerv3")
    return [*under("release"), *(Kind(n, "lidar", "release") for n in lidar), *under("matched")]


def count_act(kind: Kind) -> Products:
    """Count the products of one environment's action in training."""
    agent, _ = _case(kind, "plan").agent()
    rows = {name: random_array(spec, (1,)) for name, spec in agent.env.obs.items()}
    args = (agent.init_carry(1), rows, np.zeros(1, bool), jax.random.key(0))
    act = functools.partial(agent.act, mode="train")
    return jaxpr_products(jax.make_jaxpr(act)(_state(agent), *args).jaxpr)


def count_update(kind: Kind) -> Products:
    """Count the products of an update with the preset's batch."""
    agent, loop = _case(kind, "update").agent()
    batch = random_batch(agent.env.obs, loop.batch_size, loop.batch_length)
    traced = jax.make_jaxpr(agent.learner.update)(_state(agent), batch, jax.random.key(0))
    return jaxpr_products(traced.jaxpr)


def _case(kind: Kind, what: str) -> Case:
    family = METHODS[kind.method].family
    form = ON_GPU if family == METHODS["osrp"].family else "auto"
    return Case("", kind.method, kind.obs, what, preset=kind.preset, conv_impl=form)


def _state(agent: Any) -> Any:
    return jax.eval_shape(agent.init, 0)


def row(kind: Kind) -> dict[str, Any]:
    """A row of the file."""
    chosen = settings(*kind)
    return {
        **kind._asdict(),
        "operations": operations(chosen.agent, chosen.loop),
        "act": count_act(kind)._asdict(),
        "update": count_update(kind)._asdict(),
    }


@dataclasses.dataclass(frozen=True)
class WorkOptions:
    """Count the products of actions and updates under the presets."""

    out: Path = FILE
    """File to write."""


def main(options: WorkOptions) -> int:
    """Write the file; returns 0."""
    rows = []
    for kind in kinds():
        rows.append(row(kind))
        print(*kind, rows[-1]["act"], rows[-1]["update"], flush=True)
    lines = ",\n".join(json.dumps(row) for row in rows)
    options.out.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    print(f"wrote {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(WorkOptions, description=__doc__)))
