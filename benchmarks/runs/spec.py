"""The full configuration of one run: method, task, training loop, replay buffer and agent.

A spec is written to `spec.json`, rebuilt from it (spec_file.py), hashed into a run id and compared
with another spec (identity.py). It contains nothing about the machine (see provenance.py) or the
run's progress (see checkpoint.py).
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any, Literal, get_args

from benchmarks.runs.errors import BadInput
from benchmarks.runs.identity import digest, flatten, identity_of
from benchmarks.runs.plain_text import choose
from benchmarks.runs.ranges import check_numbers, of_own_method

Obs = Literal["vision", "coordinates", "lidar", "default"]
Preset = Literal["release", "matched", "cpu", "debug"]
OBSERVATIONS: tuple[str, ...] = get_args(Obs)
PRESETS: tuple[str, ...] = get_args(Preset)

# Options of one start of a run, which do not change its result.
# Time limit for an environment's response; replaying an episode of rendered steps takes longest.
ENV_TIMEOUT_SECONDS = 120.0
MAX_ENV_FAULTS = 20  # environments replaced before the start gives up


@functools.lru_cache(maxsize=4096)  # runs of a sweep share most of their settings
def _check(prefix: str, part: Any) -> None:
    """Check the ranges of a part's numbers, named as on the command line. Raises BadInput."""
    check_numbers(flatten(dataclasses.asdict(part), prefix), of_own_method(part))


@dataclasses.dataclass(frozen=True)
class LoopConfig:
    """How the training loop runs. Agent steps are counted over all environments together."""

    num_envs: int = 1  # environments stepped together
    action_repeat: int = 4  # simulator steps per agent step
    prefill: int = 1024  # agent steps of uniform random actions before learning starts
    # replayed steps per agent step: train_ratio / (batch_size * batch_length) updates each
    train_ratio: float = 512.0
    batch_size: int = 16  # sequences per update
    batch_length: int = 64  # agent steps per sequence
    eval_every: int = 10_000  # agent steps between evaluations
    eval_episodes: int = 1  # episodes per evaluation; 0 never evaluates
    log_every: int = 1000  # agent steps between rows of metrics.jsonl
    checkpoint_every: int = 20_000  # agent steps between checkpoints
    # treat time-limit truncation as termination, as the release does
    truncation_is_terminal: bool = False
    resize: int = 0  # side in pixels to resize your own environment's images to; 0: no resizing
    # one process per environment, or all in the main process
    env_workers: Literal["process", "inline"] = "process"

    def __post_init__(self) -> None:
        _check("loop.", self)
        needed = self.batch_length * self.num_envs
        if self.prefill < needed:
            raise BadInput(
                f"loop.prefill={self.prefill} must be at least batch_length * num_envs = {needed}: "
                "each environment fills a stream of its own, and learning needs one whole sequence"
            )

    def updates_due(self, agent_steps: int) -> int:
        """Updates due: none during prefill, then train_ratio / (B * T) per agent step."""
        return int(
            max(0, agent_steps - self.prefill)
            * self.train_ratio
            / (self.batch_size * self.batch_length)
        )


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """The replay buffer (agents.replay.buffer reports the memory it needs and refuses a size that
    does not fit).
    """

    capacity: int = 1_000_000  # transitions kept, over all environments
    # folder for a memory-mapped buffer, instead of one in RAM; one folder per run
    directory: str = ""

    def __post_init__(self) -> None:
        _check("replay.", self)


@dataclasses.dataclass(frozen=True)
class RunSpec:
    """One run. `agent` is the frozen configuration of the method's agent family."""

    method: str
    task: str
    obs: str
    seed: int
    steps: int  # simulator steps of training
    preset: str
    loop: LoopConfig
    replay: ReplayConfig
    agent: Any
    init_from: str = ""  # published checkpoint, or run folder, that the learner starts from
    init_sha256: str = ""  # of that file, or of SHA256SUMS of the run's newest checkpoint
    # wall-clock budget of the whole run, resumes included: ends it whatever its steps
    max_minutes: float | None = None

    def __post_init__(self) -> None:
        check_numbers({"seed": self.seed, "steps": self.steps, "max_minutes": self.max_minutes})
        if dataclasses.is_dataclass(self.agent):
            _check("", self.agent)
        needed = self.loop.batch_length * self.loop.num_envs
        if self.replay.capacity < needed:
            raise BadInput(
                f"replay.capacity={self.replay.capacity} must be at least batch_length * "
                f"num_envs = {needed}"
            )
        choose("observation", self.obs, OBSERVATIONS)
        choose("preset", self.preset, PRESETS)

    @functools.cached_property
    def run_id(self) -> str:
        """A hash of all settings that affect the result, and of nothing else."""
        return digest(identity_of(to_dict(self)))


def with_minutes(spec: RunSpec, minutes: float | None) -> RunSpec:
    """Return the spec with another time budget; 0 ends at once, None keeps the spec's own."""
    return spec if minutes is None else dataclasses.replace(spec, max_minutes=minutes or 1e-9)


def to_dict(spec: RunSpec) -> dict[str, Any]:
    """Return a tree of plain values for spec.json; `spec_file.from_dict` inverts it."""
    return json.loads(json.dumps(dataclasses.asdict(spec)))
