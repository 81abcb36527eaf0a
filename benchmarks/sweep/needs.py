"""Memory and disk that a run will need.

Exact for the replay buffer and the learner, measured for the rest.

The sizes of observations come from the simulator, through a function; the learner is traced, not
allocated.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from agents.api import ArraySpec, EnvSpec
from agents.replay.buffer import memory_bytes
from agents.replay.storage import available_memory_bytes
from baselines.omnisafe.vision import CHUNK, encoding_bytes, frame_slots
from benchmarks.methods import method
from benchmarks.omnisafe.envs import frame_of
from benchmarks.runs.checkpoint import KEEP
from benchmarks.runs.identity import flatten
from benchmarks.runs.spec import RunSpec
from benchmarks.tasks import get_task
from benchmarks.training.episodes import MAX_ENVS
from benchmarks.training.transitions import row_specs, rows_filled

__all__ = ["Estimate", "Needs", "available_memory_bytes"]

# arguments: task, obs, action repeat, and the side of resized images if there are any
EnvSpecOf = Callable[..., EnvSpec]

# Resident memory measured with the preset debug: interpreter, JAX, compiled functions, simulator;
# and of one environment process.
PROCESS_BYTES = 1_300_000_000
IMAGES_BYTES = 600_000_000  # more for a learner from images
WORKER_BYTES = 200_000_000
# Safety-Gymnasium's textures in a process that renders: at the first reset, decoded, in the model
# and in OSMesa; 0.44e9 remain.
TEXTURE_BYTES = 810_000_000
# Scratch memory of an update, in float32 copies of the images of a batch: 45 were measured at the
# release's sizes, 14 with the preset cpu.
UPDATE_COPIES = 45
# likewise with torch and OmniSafe, evaluation environments included
TORCH_PROCESS_BYTES = 1_200_000_000
CHECKPOINT_BYTES = 10_000_000  # upper bound for OmniSafe's networks and optimisers
VISION_CHECKPOINT_BYTES = 40_000_000  # with three encoders of the release
LEARNER_COPIES = 3  # the state, its gradients, and the copy of a checkpoint


class Needs(NamedTuple):
    """Bytes. `disk` is the final size of the run folder and of a mapped replay elsewhere."""

    memory: int
    disk: int


class Estimate:
    """Estimates `Needs` of runs; equal learners are traced once."""

    def __init__(self, env_spec_of: EnvSpecOf) -> None:
        self._env_spec_of = env_spec_of
        self._learners: dict[Hashable, int] = {}

    def __call__(self, spec: RunSpec) -> Needs:
        """Return the needs of a run. Raises ValueError if method and task do not fit."""
        resize = (spec.loop.resize,) if spec.loop.resize else ()
        env_spec = self._env_spec_of(spec.task, spec.obs, spec.loop.action_repeat, *resize)
        if method(spec.method).engine == "torch":
            return _omnisafe(spec, env_spec)
        rows = row_specs(env_spec)
        full = memory_bytes(rows, spec.replay.capacity)
        transitions = math.ceil(spec.steps / spec.loop.action_repeat)
        saved = min(full, memory_bytes(rows, transitions))
        learner = self._learner_bytes(spec, env_spec)
        images = [array for array in env_spec.obs.values() if array.dtype == "uint8"]
        textures = TEXTURE_BYTES if images and not get_task(spec.task).custom else 0
        if spec.loop.env_workers == "process":
            # without images, evaluations run in the run's own process
            evaluated = min(spec.loop.eval_episodes, MAX_ENVS) if images else 0
            environments = (spec.loop.num_envs + evaluated) * (WORKER_BYTES + textures)
        else:
            environments = textures  # which they share
        frames = spec.loop.batch_size * spec.loop.batch_length
        update = UPDATE_COPIES * frames * 4 * sum(math.prod(array.shape) for array in images)
        update += IMAGES_BYTES if images else 0
        mapped = bool(spec.replay.directory)
        held = 0 if mapped else memory_bytes(rows, rows_filled(spec))
        return Needs(
            memory=PROCESS_BYTES + environments + LEARNER_COPIES * learner + update + held,
            # a new checkpoint is complete before an old one is deleted
            disk=saved + (KEEP + 1) * learner + (full if mapped else 0),
        )

    def _learner_bytes(self, spec: RunSpec, env_spec: EnvSpec) -> int:
        import jax

        kind = (spec.method, _sizes(spec.agent), repr(env_spec.obs), env_spec.action_dim)
        if kind not in self._learners:
            agent = method(spec.method).agent(spec.agent, env_spec)
            leaves = jax.tree.leaves(jax.eval_shape(lambda: agent.init(0)))
            self._learners[kind] = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
        return self._learners[kind]


def _sizes(agent: Any) -> Hashable:
    """Settings that may affect the size of the learner's state.

    Excludes floats, and settings of planning and imagination.
    """
    flat = flatten(dataclasses.asdict(agent))
    passing = ("planner.", "imagination.")
    return tuple(
        (name, value)
        for name, value in flat.items()
        if not isinstance(value, float) and not name.startswith(passing)
    )


def _omnisafe(spec: RunSpec, env_spec: EnvSpec) -> Needs:
    """Needs of OmniSafe's methods: the networks are small; the replay buffers are large, and are
    allocated in full at the start.
    """
    obs = sum(math.prod(array.shape) for array in env_spec.obs.values())
    row = {
        "obs": obs,
        "next_obs": obs,
        "act": env_spec.action_dim,
        "reward": 1,
        "cost": 1,
        "done": 1,
    }
    rows = {name: ArraySpec((size,), "float32") for name, size in row.items()}
    repeat, algo = spec.loop.action_repeat, spec.agent.algo_cfgs
    kind = method(spec.method).kind
    pictures = textures = 0
    # the buffer holds tickets of frames, which are stored separately as bytes
    if spec.obs == "vision":
        frame, vision = frame_of(env_spec), spec.agent.vision
        assert frame is not None
        textures = 0 if get_task(spec.task).custom else TEXTURE_BYTES
        rows |= {name: ArraySpec((vision.frame_stack,), "float32") for name in ("obs", "next_obs")}
        # Conjugate gradients keep the activations that they differentiate twice, with gradients.
        differentiated = (
            2 * math.ceil(algo.steps_per_epoch / algo.fvp_sample_freq)
            if hasattr(algo, "fvp_sample_freq")
            else CHUNK
        )
        pictures = frame_slots(algo.steps_per_epoch, spec.loop.num_envs) * math.prod(frame)
        # environments of evaluations are in the process of the run
        pictures += differentiated * encoding_bytes(vision, frame) + textures
    held = {
        "on-policy": algo.steps_per_epoch,
        "off-policy": getattr(algo, "size", 0),
        "model-based": 2 * spec.steps,
    }[kind]
    written = (
        0
        if kind == "on-policy"
        else memory_bytes(rows, min(held, 2 * math.ceil(spec.steps / repeat)))
    )
    worker = WORKER_BYTES + textures
    workers = spec.loop.num_envs * worker if spec.loop.env_workers == "process" else 0
    saved = VISION_CHECKPOINT_BYTES if spec.obs == "vision" else CHECKPOINT_BYTES
    return Needs(
        memory=TORCH_PROCESS_BYTES + workers + pictures + memory_bytes(rows, held),
        disk=written + (KEEP + 1) * saved,
    )
