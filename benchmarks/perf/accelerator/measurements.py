"""`python -m benchmarks.perf.accelerator.measurements JOB`.

Prepare one job, wait for a line on stdin, measure it.

The function of each kind of job prepares it (compiles, starts workers) and returns facts about the
preparation and a function that measures. Processes prepare in parallel and are measured one at a
time: nothing runs on the accelerator between "ready" and the line, but compiled programs and
parameters stay in its memory. Answers are JSON lines: {"ready": facts}, {"done": results} or
{"failed": traceback}.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from agents.safedreamer.agent import SafeDreamer
from agents.safedreamer.networks import init_params
from benchmarks.perf.accelerator.jobs import NUMBERS
from benchmarks.perf.cases import Case, Updater, random_array, random_batch
from benchmarks.perf.flops import jaxpr_products
from benchmarks.perf.timing import matmul_peak, measure

Facts: TypeAlias = dict[str, Any]
Prepared: TypeAlias = tuple[Facts, Callable[[], Facts]]
GIB = 2.0**30


def peak(numbers: list[str], size: int) -> Prepared:
    """FLOP/s of a large matrix product, by number format."""

    def measure_peaks() -> Facts:
        found = {}
        for name in numbers:
            dtype, precision = NUMBERS[name]
            with jax.default_matmul_precision(precision):
                found[name] = matmul_peak(dtype, size=size) / 1e9
        return {"peak_gflops": found}

    devices = [f"{device.platform}: {device.device_kind}" for device in jax.devices()]
    stats = jax.devices()[0].memory_stats() or {}
    return {"devices": devices, "memory_gib": stats.get("bytes_limit", 0) / GIB}, measure_peaks


def update(
    method: str, obs: str, preset: str, numbers: str, repeats: int, conv_impl: str = "auto"
) -> Prepared:
    """An update on a batch already on the device, and the transfer of such a batch."""
    case = make_case("update", method, obs, preset, numbers, conv_impl=conv_impl)
    agent, loop = make_agent(case)
    rows = random_batch(agent.env.obs, loop.batch_size, loop.batch_length)
    batch = jax.device_put(rows)
    state = agent.learner.fresh_state(random_params(agent))
    compiled, facts = compile_timed(
        jax.jit(agent.learner.update, donate_argnums=0), state, batch, jax.random.key(1)
    )
    updater = Updater(compiled, state, batch, jax.random.key(1))

    def measure_update() -> Facts:
        transfer = measure(lambda: jax.device_put(rows), repeats)
        return timed(updater, repeats) | {
            "batch_mib": nbytes(rows) / 2**20,
            "batch_to_device_seconds": transfer.median,
        }

    return facts, measure_update


def act(method: str, obs: str, preset: str, numbers: str, repeats: int, envs: int) -> Prepared:
    """Evaluation actions, transfers included: observations come from the host and actions return to
    it, as in a training loop.
    """
    agent, _ = make_agent(make_case("plan", method, obs, preset, numbers, envs=envs))
    state = agent.learner.fresh_state(random_params(agent))
    rows = {name: random_array(spec, (envs,)) for name, spec in agent.env.obs.items()}
    args = (state, agent.init_carry(envs), rows, np.zeros(envs, bool), jax.random.key(1))
    compiled, facts = compile_timed(jax.jit(functools.partial(agent.act, mode="eval")), *args)
    return facts, lambda: timed(lambda: np.asarray(compiled(*args)[0]), repeats)


def seeds(method: str, obs: str, preset: str, numbers: str, repeats: int, seeds: int) -> Prepared:
    """Updates of several learners in one `vmap`, each with its own parameters, batch and key."""
    agent, loop = make_agent(make_case("update", method, obs, preset, numbers))
    fresh = [agent.learner.fresh_state(random_params(agent, seed)) for seed in range(seeds)]
    state = jax.tree.map(lambda *leaves: jnp.stack(leaves), *fresh)
    del fresh
    batch = random_batch(agent.env.obs, seeds * loop.batch_size, loop.batch_length)
    batch = {
        name: jax.device_put(rows.reshape(seeds, loop.batch_size, *rows.shape[1:]))
        for name, rows in batch.items()
    }
    keys = jax.random.split(jax.random.key(1), seeds)
    compiled, facts = compile_timed(
        jax.jit(jax.vmap(agent.learner.update), donate_argnums=0), state, batch, keys
    )
    updater = Updater(compiled, state, batch, keys)

    def measure_seeds() -> Facts:
        found = timed(updater, repeats)
        return found | {
            "updates_per_second": seeds / found["pipelined"],
            "updates_per_second_of_one": 1 / found["pipelined"],
        }

    return facts, measure_seeds


def render(task: str, workers: int, seconds: float) -> Prepared:
    """Agent steps per second of environment processes that take random actions and render both
    cameras at every simulator step.
    """
    from benchmarks.envs import VectorEnv
    from benchmarks.envs.worker import env_factory

    begun = time.perf_counter()
    envs = VectorEnv(
        env_factory(task, "vision", 1), workers, run_seed=0, split="train", mode="process"
    )
    step = envs.reset()
    images = sum(array.dtype == np.uint8 for array in step.obs.values())
    facts = {
        "start_seconds": time.perf_counter() - begun,
        "backend": os.environ.get("MUJOCO_GL", ""),
    }

    def measure_frames() -> Facts:
        rng, steps = np.random.default_rng(0), 0
        begun = time.perf_counter()
        while (elapsed := time.perf_counter() - begun) < seconds:
            envs.step(rng.uniform(-1, 1, (workers, envs.spec.action_dim)).astype(np.float32))
            steps += workers
        faults = len(envs.take_faults())
        envs.close()
        return {
            "steps_per_second": steps / elapsed,
            "frames_per_second": images * steps / elapsed,
            "faults": faults,
        }

    return facts, measure_frames


KINDS: dict[str, Callable[..., Prepared]] = {
    kind.__name__: kind for kind in (peak, update, act, seeds, render)
}


def make_case(kind: str, method: str, obs: str, preset: str, numbers: str, **more: Any) -> Case:
    """The case of a job; sets the precision of this process's matrix products."""
    dtype, precision = NUMBERS[numbers]
    jax.config.update("jax_default_matmul_precision", precision)
    return Case("", method, obs, kind, dtype, preset=preset, **more)


def make_agent(case: Case) -> tuple[SafeDreamer, Any]:
    """The case's SafeDreamer-family agent and its loop settings."""
    agent, loop = case.agent()
    if not isinstance(agent, SafeDreamer):
        raise TypeError(f"{case.method} is not a SafeDreamer variant")
    return agent, loop


def random_params(agent: SafeDreamer, seed: int = 0) -> Any:
    """Random parameters of the right shapes, drawn on the host.

    Compiling the real initialisation would take longer than any measurement.
    """
    shapes = jax.eval_shape(
        lambda key: init_params(agent.config, agent.env, key), jax.random.key(0)
    )
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jnp.asarray(0.02 * rng.standard_normal(leaf.shape), leaf.dtype), shapes
    )


def compile_timed(function: Any, *args: Any) -> tuple[Callable[..., Any], Facts]:
    """Compile a jitted function for these arguments.

    Returns it with the seconds of each stage, GFLOP of its products and allocated memory in GiB.
    """
    begun = time.perf_counter()
    traced = function.trace(*args)
    traced_at = time.perf_counter()
    lowered = traced.lower()
    lowered_at = time.perf_counter()
    compiled = lowered.compile()
    facts = {
        "trace_seconds": traced_at - begun,
        "lower_seconds": lowered_at - traced_at,
        "compile_seconds": time.perf_counter() - lowered_at,
        "gflop": jaxpr_products(traced.jaxpr.jaxpr).flops / 1e9,
    }
    if memory := compiled.memory_analysis():
        for name in ("argument", "output", "temp", "alias"):
            facts[f"{name}_gib"] = getattr(memory, f"{name}_size_in_bytes") / GIB
    return compiled, facts


def timed(call: Callable[[], Any], repeats: int) -> Facts:
    """Seconds per call, awaiting each (median, low, high) and dispatching several together; peak
    memory so far.
    """
    found: Facts = measure(call, repeats)._asdict()
    begun, result = time.perf_counter(), None
    for _ in range(repeats):
        result = call()
    jax.block_until_ready(result)
    found["pipelined"] = (time.perf_counter() - begun) / repeats
    stats = jax.devices()[0].memory_stats() or {}  # None on CPU
    if "peak_bytes_in_use" in stats:
        found["peak_gib"] = stats["peak_bytes_in_use"] / GIB
    return found


def nbytes(tree: Any) -> int:
    """Total bytes of all arrays."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(tree))


def main() -> None:
    """See the module's docstring. Other output to stdout is redirected to stderr."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    job = json.loads(sys.argv[1])
    try:
        facts, measure_it = KINDS[job["kind"]](**job["args"])
        answers.write(json.dumps({"ready": facts}) + "\n")
        if sys.stdin.readline():  # empty if the parent has exited
            answers.write(json.dumps({"done": measure_it()}) + "\n")
    except Exception:  # noqa: BLE001 (any failure is this job's result)
        answers.write(json.dumps({"failed": traceback.format_exc()}) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
