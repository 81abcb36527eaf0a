"""Methods by name: what each is, the factory of its agent, and the settings of its presets.

`release` follows the authors' schedules (spec section 5), `cpu` fits two cores, `debug` runs in seconds; `matched` gives baselines the
action repeat and the cost limit of our agents. Sizes of the agents themselves are theirs to know (agents.safedreamer.presets,
baselines.omnisafe.config, baselines.safe_slac.presets); here are the loop and the replay. Importing this loads neither JAX nor torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

from agents.api import Agent, EnvSpec
from baselines.omnisafe import algorithms as omnisafe
from benchmarks import safe_slac_presets
from benchmarks.omnisafe import presets as omnisafe_presets
from benchmarks.spec import OBSERVATIONS, BadInput, LoopConfig, ReplayConfig, RunSpec, choose

Loop = tuple[LoopConfig, ReplayConfig]
Engine: TypeAlias = Literal["jax", "torch"]  # in processes of their own, never in one


class Settings(NamedTuple):
    """Everything a preset decides."""

    steps: int  # simulator steps
    loop: LoopConfig
    replay: ReplayConfig
    agent: Any


@dataclasses.dataclass(frozen=True)
class Method:
    """A named way to train an agent. `make_settings(obs, preset, hazard_radius, task)` gives the defaults of everything."""

    name: str
    family: str  # methods of one family run in one Python
    kind: str
    summary: str
    constrains: str
    paper: str
    exact_resume: bool  # a resumed run is the run that never stopped
    observations: tuple[str, ...]
    presets: tuple[str, ...]
    engine: Engine
    action_repeat: int | None  # of the release; None: the task decides
    load_config_type: Callable[[str], type]  # for an observation
    make_settings: Callable[[str, str, float, str], Settings]
    make_agent: Callable[[Any, EnvSpec], Agent] | None = None  # in the engine "jax"

    def config_type(self, obs: str) -> type:
        """Of the agent's settings with an observation. Raises BadInput where what defines it is not installed."""
        try:
            return self.load_config_type(obs)
        except ValueError as error:
            raise BadInput(str(error)) from error

    def agent(self, config: Any, env: EnvSpec) -> Agent:
        """The agent, for the loop of this process. Raises BadInput for methods that train in a process of their own."""
        if self.make_agent is None:
            raise BadInput(f"{self.name} is OmniSafe's: it is trained and evaluated by `safedreamer train` and `evaluate`")
        return self.make_agent(config, env)


_STEPS = {"release": 2_000_000, "cpu": 2_000_000, "debug": 3000}
_PAPER = "Huang et al. 2023, arXiv:2307.07176"

_SAFEDREAMER = {  # name: (simulator steps per agent step in the release, acts by planning, summary, what it constrains, paper)
    "osrp": (
        5,
        True,
        "online safety-reward planning: constrained cross-entropy planner",
        "predicted cost return of a plan",
        _PAPER,
    ),
    "osrp_lag": (
        4,
        True,
        "OSRP with a PID multiplier on the cost return",
        "predicted cost return of a plan, and mean episode cost by a PID-controlled multiplier",
        _PAPER,
    ),
    "bsrp_lag": (
        4,
        False,
        "background safety-reward planning: actor with an augmented Lagrangian",
        "imagined cost return, by an augmented Lagrangian",
        _PAPER,
    ),
    "dreamerv3": (
        2,
        False,
        "unsafe DreamerV3: the actor maximises reward",
        "nothing: maximises reward",
        "Hafner et al. 2023, arXiv:2301.04104",
    ),
    "cem": (5, True, "unsafe planning: cross-entropy method on the sum of rewards", "nothing: maximises reward", _PAPER),
}


def _make_safedreamer(config: Any, env: EnvSpec) -> Agent:
    from agents.safedreamer.agent import SafeDreamer  # compiles nothing, but imports JAX, flax and optax

    return SafeDreamer(config, env)


def _safedreamer_config_type(obs: str) -> type:
    from agents.safedreamer.config import SafeDreamerConfig

    del obs
    return SafeDreamerConfig


def _safedreamer(name: str) -> Method:
    repeat, plans, summary, constrains, paper = _SAFEDREAMER[name]

    def make_settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
        from agents.safedreamer.presets import agent_config

        del task
        loops: dict[str, Callable[[int, bool], Loop]] = {"release": _release, "cpu": _cpu, "debug": _debug}
        loop, replay = loops[preset](repeat, plans)
        return Settings(_STEPS[preset], loop, replay, agent_config(name, obs, preset, hazard_radius))

    return Method(
        name=name,
        family="safedreamer",
        kind="world model",
        summary=summary,
        constrains=constrains,
        paper=paper,
        exact_resume=True,
        observations=OBSERVATIONS,
        presets=("release", "cpu", "debug"),
        engine="jax",
        action_repeat=repeat,
        load_config_type=_safedreamer_config_type,
        make_settings=make_settings,
        make_agent=_make_safedreamer,
    )


def _omnisafe(row: omnisafe.Algorithm) -> Method:
    def make_settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
        del hazard_radius
        return Settings(*omnisafe_presets.settings(row.name, preset, task, obs))

    return Method(
        name=row.name,
        family="omnisafe",
        kind=row.family,
        summary=f"{row.omnisafe} of OmniSafe",
        constrains=row.constrains,
        paper=row.paper,
        exact_resume=row.exact_resume,
        observations=OBSERVATIONS if row.family == "on-policy" else ("coordinates", "lidar", "default"),
        presets=("release", "matched", "cpu", "debug"),
        engine="torch",
        action_repeat=None if row.family == "model-based" else 1,
        load_config_type=lambda obs: omnisafe_presets.config_type(row.name, obs),
        make_settings=make_settings,
    )


_NO_PICTURES = {  # kind of method -> why
    "off-policy": "OmniSafe's replay holds every observation twice as float32, 0.6 MB a step with three frames of two cameras",
    "model-based": "its networks predict the next observation itself, which is for low-dimensional states only",
}


def _make_safe_slac(config: Any, env: EnvSpec) -> Agent:
    from baselines.safe_slac.agent import SafeSLAC

    return SafeSLAC(config, env)


def _safe_slac_config_type(obs: str) -> type:
    from baselines.safe_slac.config import SafeSLACConfig

    del obs
    return SafeSLACConfig


def _safe_slac_settings(obs: str, preset: str, hazard_radius: float, task: str) -> Settings:
    from baselines.safe_slac.presets import agent_config

    del obs, hazard_radius, task
    return Settings(*safe_slac_presets.settings(preset), agent_config(preset))


def _safe_slac() -> Method:
    return Method(
        name="safe_slac",
        family="safe_slac",
        kind="world model",
        summary="Safe SLAC: soft actor-critic on a learned latent, with a safety critic",
        constrains="mean episode cost, by a multiplier on the safety critic",
        paper="Hogewind et al. 2023, arXiv:2210.01801",
        exact_resume=True,
        observations=OBSERVATIONS,
        presets=("release", "matched", "cpu", "debug"),
        engine="jax",
        action_repeat=2,
        load_config_type=_safe_slac_config_type,
        make_settings=_safe_slac_settings,
        make_agent=_make_safe_slac,
    )


METHODS: dict[str, Method] = {name: _safedreamer(name) for name in _SAFEDREAMER}
METHODS["safe_slac"] = _safe_slac()
METHODS |= {name: _omnisafe(row) for name, row in omnisafe.ALGORITHMS.items()}


def method(name: str) -> Method:
    """The method of that name. Raises BadInput with the nearest valid names."""
    if why := omnisafe.offline(name):
        raise BadInput(why)
    if name not in METHODS and (ours := omnisafe.own_name(name)):
        raise BadInput(f"unknown method {name!r}; did you mean {ours}?")
    return METHODS[choose("method", name, METHODS)]


def settings(name: str, obs: str, preset: str, hazard_radius: float = 0.2, task: str = "") -> Settings:
    """The defaults of a method with an observation under a preset. Raises BadInput for an unknown name of any of them.

    `hazard_radius` is the distance in metres within which hazards cost, 0 where something else costs too; if not given, that of the
    published coordinates tasks. `task` matters to baselines that have settings for single tasks.
    """
    chosen = method(name)
    if obs == "vision" and obs not in chosen.observations:
        raise BadInput(
            f"{name} takes no pictures: {_NO_PICTURES[chosen.kind]}. OmniSafe's on-policy methods take them (ppo_lag, cpo, ...); or "
            "choose --obs lidar or coordinates"
        )
    choose(f"observation of {name}", obs, chosen.observations)
    if preset == "matched" and preset not in chosen.presets:
        raise BadInput(
            f"{name} has no preset matched, which gives baselines the action repeat and cost limit of {name}'s family: use release"
        )
    choose(f"preset of {name}", preset, chosen.presets)
    return chosen.make_settings(obs, preset, hazard_radius, task)


def check_spec(spec: RunSpec) -> None:
    """Raise BadInput, which names the fix, where a run's settings do not fit its method or each other."""
    if method(spec.method).engine == "torch":
        omnisafe_presets.check(spec)
    if spec.method == "safe_slac":
        safe_slac_presets.check(spec)


def _release(repeat: int, plans: bool) -> Loop:
    del plans
    return LoopConfig(action_repeat=repeat), ReplayConfig()  # all other defaults are the release's


def _cpu(repeat: int, plans: bool) -> Loop:
    # One action repeat for all, so that they are compared at equal simulator steps; planners take fewer actions per update.
    del repeat
    loop = LoopConfig(
        num_envs=4,
        action_repeat=5,
        prefill=8000,
        train_ratio=128.0 if plans else 64.0,
        batch_size=16,
        batch_length=32,
        eval_every=20_000,
        eval_episodes=10,
        log_every=4000,
        checkpoint_every=20_000,
    )
    return loop, ReplayConfig(capacity=500_000)


def _debug(repeat: int, plans: bool) -> Loop:
    del plans
    loop = LoopConfig(
        num_envs=2,
        action_repeat=repeat,
        prefill=64,
        train_ratio=16.0,
        batch_size=4,
        batch_length=16,
        eval_every=400,
        eval_episodes=1,
        log_every=100,
        checkpoint_every=400,
    )
    return loop, ReplayConfig(capacity=4000)
