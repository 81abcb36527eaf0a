"""The environments of a run for baselines.omnisafe: flat observations, seeded episodes, step counts
and episode records.

An episode lost with its environment process appears as truncated. Steps are counted as actions
times action repeat: an action cut short by the end of an episode counts in full, as in OmniSafe.

Shapes: E environments; D observation, A action dimensions.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from agents.api import EnvSpec
from baselines.omnisafe.interface import Rows
from benchmarks.envs import Fault, VectorEnv
from benchmarks.runs.errors import BadInput, RunFailed
from benchmarks.training.episodes import Episode, Tally
from benchmarks.training.resume import flat, nested


def frame_of(spec: EnvSpec) -> tuple[int, int, int] | None:
    """Height, width and channels of one image with all cameras; None for vectors.

    Raises BadInput for other observations.
    """
    shapes = [array.shape for array in spec.obs.values()]
    if all(len(shape) == 1 for shape in shapes):
        return None
    pictures = all(len(array.shape) == 3 and array.dtype == "uint8" for array in spec.obs.values())
    if not pictures or len({shape[:2] for shape in shapes}) > 1:
        raise BadInput(
            "OmniSafe's networks take vectors, and pictures of one size through an encoder; "
            f"{', '.join(spec.obs)} of shapes {shapes} are neither: choose --obs lidar or "
            "coordinates"
        )
    return shapes[0][0], shapes[0][1], sum(shape[2] for shape in shapes)


def flat_size(spec: EnvSpec) -> int:
    """Observation size D. Raises BadInput unless all are vectors, or images of one size."""
    frame = frame_of(spec)
    return sum(array.shape[0] for array in spec.obs.values()) if frame is None else math.prod(frame)


def flatten(obs: Mapping[str, np.ndarray]) -> np.ndarray:
    """Flatten observations [E, ...] to vectors [E, D], in the order of the keys in the environment
    spec.

    Vectors become float32; images stay uint8, with their cameras concatenated along the channels.
    """
    parts = list(obs.values())
    if parts[0].ndim > 2:
        return np.concatenate(parts, axis=-1).reshape(len(parts[0]), -1)
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1).astype(np.float32)


@contextlib.contextmanager
def explain_divergence(envs: EpisodeEnvs) -> Iterator[None]:
    """Raise RunFailed instead of torch's error for a distribution with non-finite parameters.

    Observations are known to be finite.
    """
    try:
        yield
    except ValueError as error:
        if isinstance(error, BadInput) or "found invalid values" not in str(error):
            raise
        raise RunFailed(
            f"the policy's distribution is not finite at simulator step {envs.env_steps}: the "
            "run diverged; its last checkpoint is from before"
        ) from error


class EpisodeEnvs:
    """Implements baselines.omnisafe.interface.Envs. Calls `on_episode` after each recorded episode
    and `on_step` after every step.
    """

    def __init__(
        self,
        vector: VectorEnv,
        env_steps_per_step: int,
        on_episode: Callable[[Episode], None],
        on_fault: Callable[[Fault], None],
        on_step: Callable[[], None],
    ) -> None:
        spec = vector.spec
        self.num_envs = vector.num_envs
        self.obs_dim = flat_size(spec)
        self.action_dim = spec.action_dim
        self.frame = frame_of(spec)
        self.episode_steps = math.ceil(spec.episode_env_steps / spec.action_repeat)
        self.env_steps = 0  # of training, all environments together
        self.fresh = np.zeros(self.num_envs, bool)
        self._vector, self._env_steps_per_step = vector, env_steps_per_step
        self._on_episode, self._on_fault, self._on_step = on_episode, on_fault, on_step
        self._tally = Tally(self.num_envs)
        self._obs = np.zeros(
            (self.num_envs, self.obs_dim), np.float32 if self.frame is None else np.uint8
        )
        self._episode = np.zeros(self.num_envs, np.int64)
        self._over = np.ones(self.num_envs, bool)  # environments without a running episode
        # environments whose next episode has already begun, in place of a lost one
        self._replaced = np.zeros(self.num_envs, bool)

    def observation(self) -> np.ndarray:
        """Current observations [E, D]; a copy, because OmniSafe normalises in place."""
        return self._obs.copy()

    def begin(self, which: np.ndarray, ended: bool) -> np.ndarray:
        """See baselines.omnisafe.interface.Envs."""
        running = which & ~self._over & ~self.fresh
        if ended and running.any():
            self._tell(self._tally.end(running, self._episode))
        self._tally.forget(which)
        needed = which & ~self._replaced
        if needed.any():
            obs = flatten(self._vector.begin(needed))
            self._obs[needed] = obs[needed]
            self._take_faults()
        self.fresh = self.fresh | which
        self._over, self._replaced = self._over & ~which, self._replaced & ~which
        return self.observation()

    def step(self, actions: np.ndarray) -> Rows:
        """See baselines.omnisafe.interface.Envs."""
        # checked here, because environments would raise an error of their own
        if not np.isfinite(actions).all():
            raise RunFailed(
                "the policy chose an action that is not finite at simulator step "
                f"{self.env_steps}: the run diverged"
            )
        step = self._vector.step(actions)
        self._take_faults()
        self.env_steps += self.num_envs * self._env_steps_per_step
        before, self._obs = self._obs, np.array(flatten(step.obs))
        self._episode = step.episode
        self._over = step.is_last | step.lost
        self._replaced = step.lost
        self.fresh = np.zeros(self.num_envs, bool)
        self._tell(self._tally.add(step))
        self._on_step()
        obs = np.where(step.lost[:, None], before, self._obs)
        truncated = (step.is_last & ~step.is_terminal) | step.lost
        return Rows(obs, step.reward, step.cost, step.is_terminal, truncated)

    def snapshot(self) -> dict[str, np.ndarray]:
        """State of the environments, from which `restore` continues."""
        parts = {"vector": self._vector.snapshot(), "tally": self._tally.snapshot()}
        return flat(parts) | {
            "obs": self._obs.copy(),
            "over": self._over.copy(),
            "env_steps": np.array(self.env_steps),
        }

    def restore(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Replay the running episodes of a snapshot.

        Returns whether the observations are equal to the saved ones.
        """
        parts = nested(arrays)
        self._tally.restore(parts["tally"])
        step = self._vector.restore(parts["vector"])
        self._tally.forget(step.lost)
        self._take_faults()
        self._obs, self._episode = np.array(flatten(step.obs)), step.episode
        self._over = np.array(arrays["over"])
        # An ended episode has steps: a first row is that of the next one, begun in its place.
        self._replaced = self._over & step.is_first
        self.fresh = step.is_first & ~self._over
        self.env_steps = int(arrays["env_steps"])
        return bool(np.array_equal(self._obs, arrays["obs"]))

    def _tell(self, episodes: list[Episode]) -> None:
        for episode in episodes:
            self._on_episode(episode)

    def _take_faults(self) -> None:
        for fault in self._vector.take_faults():
            self._on_fault(fault)
