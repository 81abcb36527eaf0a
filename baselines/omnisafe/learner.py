"""Trains one algorithm of OmniSafe.

Runs its own rollouts and updates in a loop that can stop, save and resume.

`advance` takes a learner from one consistent point to the next: an epoch for the on-policy family
(which restarts episodes every epoch), an update cycle for the off-policy family, an action for the
model-based one. `state` and `load` are valid only at such points.

Departs from OmniSafe 0.5.0: no files, no evaluation of its own, episodes seeded by their index;
updates are unchanged.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import abc
import contextlib
import time
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from omnisafe.algorithms import registry
from omnisafe.utils.config import Config, check_all_configs
from omnisafe.utils.tools import get_flat_params_from, set_param_values_to_model

from baselines.omnisafe import config as configs
from baselines.omnisafe import state as states
from baselines.omnisafe.algorithms import ALGORITHMS, Algorithm
from baselines.omnisafe.cmdp import ENV_ID, SuiteCMDP
from baselines.omnisafe.encoder import encoding
from baselines.omnisafe.frames import Frames
from baselines.omnisafe.interface import Envs
from baselines.omnisafe.quiet import EpochLogger, quiet, settle_process
from baselines.omnisafe.state import Tree
from baselines.omnisafe.vision import VisionConfig

Row: TypeAlias = dict[str, float]
_CLOCKS = ("Time/Total", "Time/FPS", "Time/Epoch")
# buffers and settings are saved elsewhere or not at all; updates recreate _fvp_obs
_SKIP = frozenset(["_buf", "_dynamics_buf", "_policy_buf", "_cfgs", "_config", "_fvp_obs"])


class Setup(NamedTuple):
    """Arguments of a learner.

    `total_steps` is in the units of the algorithm, see config.counts_simulator_steps.
    """

    algorithm: str
    config: Any
    seed: int
    total_steps: int
    action_repeat: int  # applied by the algorithm; 1 if the environments apply it


class Learner(abc.ABC):
    """Base of the learners of all families."""

    counters: ClassVar[tuple[str, ...]] = ("epoch",)  # progress counters in checkpoints

    def __init__(self, setup: Setup, envs: Envs, on_work: Callable[[], None]) -> None:
        self.row: Algorithm = ALGORITHMS[setup.algorithm]
        self.envs = envs
        tree = configs.to_omnisafe(
            setup.algorithm,
            setup.config,
            seed=setup.seed,
            num_envs=envs.num_envs,
            total_steps=setup.total_steps,
            episode_steps=envs.episode_steps,
            action_repeat=setup.action_repeat,
        )
        self.cfgs: Any = Config.dict2config(tree)
        self.cfgs.recurisve_update(
            {"exp_name": setup.algorithm, "env_id": ENV_ID, "algo": self.row.omnisafe}
        )
        device = self.cfgs.train_cfgs.device
        if device != "cpu" and not torch.cuda.is_available():
            raise ValueError(f"train_cfgs.device={device}: this installation of torch sees no GPU")
        settle_process(device, self.cfgs.train_cfgs.torch_threads)
        self.frames, encoders = self._vision_encoders(getattr(setup.config, "vision", None), device)
        SuiteCMDP.install(envs, autoreset=self.row.family != "model-based", frames=self.frames)
        try:
            check_all_configs(self.cfgs, self.row.family)
            with quiet(on_work), encoders:
                self.algo: Any = registry.get(self.row.omnisafe)(env_id=ENV_ID, cfgs=self.cfgs)
        except AssertionError as error:
            raise ValueError(f"OmniSafe refuses the settings: {error}") from error
        # OmniSafe disables cuDNN, but torch's own convolutions are many times slower
        if self.frames is not None:
            torch.backends.cudnn.enabled = torch.backends.cudnn.deterministic = True
        self.logger: EpochLogger = self.algo._logger
        self.epoch = 0
        self.steps_per_epoch = int(self.cfgs.algo_cfgs.steps_per_epoch)

    def _vision_encoders(
        self, config: VisionConfig | None, device: str
    ) -> tuple[Frames | None, contextlib.AbstractContextManager[None]]:
        """The store of an epoch's frames, and the context in which networks get encoders.

        For vectors, None and a null context.
        """
        frame = self.envs.frame
        if (frame is None) != (config is None):
            raise ValueError(
                "OmniSafe's networks take vectors, and only --obs vision of its on-policy "
                "family has an encoder"
            )
        if frame is None or config is None:
            return None, contextlib.nullcontext()
        steps = int(self.cfgs.algo_cfgs.steps_per_epoch)
        config.pictures(*frame[:2])
        frames = Frames(frame, config.frame_stack, steps, self.envs.num_envs, torch.device(device))
        return frames, encoding(config, frame, frames)

    @property
    def cmdp(self) -> SuiteCMDP:
        """The CMDP beneath OmniSafe's wrappers."""
        env = self.algo._env._env
        while not isinstance(env, SuiteCMDP):
            env = env._env
        return env

    @abc.abstractmethod
    def advance(self) -> Row | None:
        """Train up to the next consistent point.

        Returns the statistics of an epoch if one ended, else None.
        """

    @property
    @abc.abstractmethod
    def steps(self) -> int:
        """Steps of training, in the units of the algorithm."""

    @property
    def updates(self) -> int:
        """Updates of the policy: gradient steps if the algorithm counts them, else epochs."""
        return int(getattr(self.algo, "_update_count", self.epoch))

    def state(self) -> Tree:
        """Everything that training changes, except the content of replay buffers."""
        tree = states.save(self.algo, _SKIP)
        for name, buffer in states.replays(self.algo).items():
            tree.pack(f"replay:{name}", [buffer._ptr, buffer._size])
        tree.pack("progress", {name: getattr(self, name) for name in self.counters})
        rng = states.save_rng()
        tree.plain["rng"] = {"plain": rng.plain}
        tree.arrays |= {f"rng:{name}": array for name, array in rng.arrays.items()}
        return tree

    def load(self, tree: Tree) -> None:
        """Restore a state.

        Raises ValueError if it belongs to another algorithm or has other sizes.
        """
        plain = dict(tree.plain)
        rng = Tree(
            {k[4:]: v for k, v in tree.arrays.items() if k.startswith("rng:")},
            plain.pop("rng")["plain"],
        )
        progress = tree.unpack("progress")
        for name in self.counters:
            setattr(self, name, progress[name])
        del plain["progress"]
        for name, buffer in states.replays(self.algo).items():
            buffer._ptr, buffer._size = tree.unpack(f"replay:{name}")
            del plain[f"replay:{name}"]
        states.load(self.algo, Tree(tree.arrays, plain), _SKIP)
        self._restored()
        states.load_rng(rng)

    def _restored(self) -> None:  # noqa: B027 (most have nothing to do)
        """Hook called after a state was loaded."""

    def _end_epoch(self, values: dict[str, float]) -> Row:
        self.logger.store(
            {name: value for name, value in values.items() if name in self.logger._current_row}
        )
        row = self.logger.end_epoch()
        self.epoch += 1
        return {name: value for name, value in row.items() if name not in _CLOCKS}


class OnPolicy(Learner):
    """Alternates the rollout of an epoch and its updates."""

    @property
    def steps(self) -> int:
        return self.epoch * self.steps_per_epoch

    def _restored(self) -> None:
        # Natural gradient steps make an actor's parameters views of one vector; their memory layout
        # affects the last bit of products.
        if self.epoch and self.cfgs.model_cfgs.actor.lr is None:
            actor = self.algo._actor_critic.actor
            set_param_values_to_model(actor, get_flat_params_from(actor))

    def advance(self) -> Row:
        algo, cfgs = self.algo, self.cfgs
        began = time.perf_counter()
        self.cmdp.cutting = True
        algo._env.rollout(
            steps_per_epoch=algo._steps_per_epoch,
            agent=algo._actor_critic,
            buffer=algo._buf,
            logger=self.logger,
        )
        rolled = time.perf_counter()
        algo._update()
        if cfgs.model_cfgs.exploration_noise_anneal:
            algo._actor_critic.annealing(self.epoch)
        rate = 0.0
        if cfgs.model_cfgs.actor.lr is not None:
            algo._actor_critic.actor_scheduler.step()
            rate = algo._actor_critic.actor_scheduler.get_last_lr()[0]
        times = {"Time/Rollout": rolled - began, "Time/Update": time.perf_counter() - rolled}
        progress = {
            "TotalEnvSteps": self.steps + self.steps_per_epoch,
            "Train/Epoch": self.epoch,
            "Train/LR": rate,
        }
        return self._end_epoch(progress | times | dict.fromkeys(_CLOCKS, 0.0))


class OffPolicy(Learner):
    """Alternates a few actions and an update.

    Epochs only matter for statistics, schedules and the warm-up of multipliers.
    """

    counters = ("epoch", "sample")

    def __init__(self, setup: Setup, envs: Envs, on_work: Callable[[], None]) -> None:
        super().__init__(setup, envs, on_work)
        self.sample = 0  # update cycles done
        self._times = {"Time/Rollout": 0.0, "Time/Update": 0.0}

    @property
    def steps(self) -> int:
        return self.sample * self.algo._update_cycle

    def advance(self) -> Row | None:
        algo, cfgs = self.algo, self.cfgs.algo_cfgs
        algo._epoch = self.epoch
        began, start = self.steps, time.perf_counter()
        if cfgs.use_exploration_noise:
            algo._actor_critic.actor.noise = cfgs.exploration_noise
        algo._env.rollout(
            rollout_step=algo._update_cycle,
            agent=algo._actor_critic,
            buffer=algo._buf,
            logger=self.logger,
            use_rand_action=began <= cfgs.start_learning_steps,
        )
        rolled = time.perf_counter()
        learns = began > cfgs.start_learning_steps
        if learns:
            algo._update()
        else:
            algo._log_when_not_update()
        self._times["Time/Rollout"] += rolled - start
        self._times["Time/Update"] += time.perf_counter() - rolled
        self.sample += 1
        if self.steps % self.steps_per_epoch:
            return None
        scheduler = algo._actor_critic.actor_scheduler
        if learns and self.cfgs.model_cfgs.linear_lr_decay:
            scheduler.step()
        progress = {
            "TotalEnvSteps": self.steps,
            "Train/Epoch": self.epoch,
            "Train/LR": scheduler.get_last_lr()[0],
        }
        row = self._end_epoch(
            progress | self._times | dict.fromkeys((*_CLOCKS, "Time/Evaluate"), 0.0)
        )
        self._times = dict.fromkeys(self._times, 0.0)
        row.pop("Time/Evaluate")
        return row


class ModelBased(Learner):
    """Takes one action at a time, from a planner on an ensemble of dynamics models.

    OmniSafe counts simulator steps and repeats actions itself.
    """

    counters = ("epoch", "current", "in_epoch")

    def __init__(self, setup: Setup, envs: Envs, on_work: Callable[[], None]) -> None:
        super().__init__(setup, envs, on_work)
        self.current = 0
        self.in_epoch = 0
        # A first rollout logs the running episode; that is needed only for an epoch without any
        # finished episode.
        self.algo._env._first_log = True

    @property
    def steps(self) -> int:
        return self.current

    def advance(self) -> Row | None:
        algo, cfgs = self.algo, self.cfgs
        if (
            cfgs.algo_cfgs.action_repeat + self.in_epoch >= self.steps_per_epoch
            and not self.logger._data["Metrics/EpRet"]
        ):
            algo._env._first_log = False
        before = self.current
        self.current = algo._env.rollout(
            current_step=before,
            rollout_step=1,
            use_actor_critic=algo._use_actor_critic,
            act_func=self._act,
            store_data_func=algo._store_real_data,
            update_dynamics_func=algo._update_dynamics_model,
            use_eval=False,
            eval_func=algo._eval_fn,
            logger=self.logger,
            algo_reset_func=algo._algo_reset,
            update_actor_func=algo._update_policy,
        )
        self.in_epoch += self.current - before
        if self.in_epoch < self.steps_per_epoch:
            return None
        self.in_epoch = 0
        if self.current > cfgs.algo_cfgs.start_learning_steps:
            algo._update_epoch()
        row = self._end_epoch(
            {"Train/Epoch": self.epoch, "TotalEnvSteps": self.current} | dict.fromkeys(_CLOCKS, 0.0)
        )
        # times are means over actions
        return {name: value for name, value in row.items() if not name.startswith("Time/")}

    def _act(self, current_step: int, state: torch.Tensor) -> torch.Tensor:
        if current_step < self.cfgs.algo_cfgs.start_learning_steps:
            # OmniSafe draws from the action space's own generator, which is neither seeded nor part
            # of checkpoints.
            low_to_high = 2.0 * torch.rand(1, self.envs.action_dim) - 1.0
            return low_to_high.to(state.device)
        return self.algo._select_action(current_step, state)


_FAMILIES: dict[str, type[Learner]] = {
    "on-policy": OnPolicy,
    "off-policy": OffPolicy,
    "model-based": ModelBased,
}


def make_learner(setup: Setup, envs: Envs, on_work: Callable[[], None] = lambda: None) -> Learner:
    """Make the learner of an algorithm.

    `on_work` is called frequently during rollouts and updates, and may raise to abandon them.

    Raises ValueError if settings and environments do not match.
    """
    return _FAMILIES[ALGORITHMS[setup.algorithm].family](setup, envs, on_work)
