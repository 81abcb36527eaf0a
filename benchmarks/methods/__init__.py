"""Methods by name: what each is, the factory of its agent, and the settings of its presets.

`release` follows the authors' schedules, `cpu` fits two cores, `debug` runs in seconds; `matched`
gives baselines the action repeat and the cost limit of our agents. Presets here set the loop and
the replay; the agents define their own sizes. Importing this loads neither JAX nor torch.
"""

from __future__ import annotations

from baselines.omnisafe import algorithms
from benchmarks.methods import mbpo, omnisafe, own, safedreamer
from benchmarks.methods.lambda_ import LAMBDA
from benchmarks.methods.method import Method, Settings
from benchmarks.methods.own import own_method
from benchmarks.methods.safe_slac import SAFE_SLAC
from benchmarks.runs.errors import BadInput
from benchmarks.runs.plain_text import choose
from benchmarks.runs.spec import RunSpec

__all__ = [
    "METHODS",
    "Method",
    "Settings",
    "all_methods",
    "check_spec",
    "families",
    "method",
    "own_method",
    "settings",
]

CPU_MINUTES = 60.0  # time budget of a run under the preset cpu

METHODS: dict[str, Method] = {
    **safedreamer.ALL,
    LAMBDA.name: LAMBDA,
    SAFE_SLAC.name: SAFE_SLAC,
    **mbpo.ALL,
    **omnisafe.ALL,
}


def method(name: str) -> Method:
    """The method of that name, or a user's own for `module:METHOD`.

    Raises BadInput with the nearest valid names.
    """
    if name not in METHODS and own.is_own(name):
        return own.load(name)
    if why := algorithms.offline(name):
        raise BadInput(why)
    if name not in METHODS and (ours := algorithms.own_name(name)):
        raise BadInput(f"unknown method {name!r}; did you mean {ours}?")
    try:
        return METHODS[choose("method", name, (*METHODS, *own.installed()))]
    except BadInput as error:
        raise BadInput(
            f"{error}; `safedreamer methods` lists all, and your own is module:METHOD"
        ) from error


def all_methods() -> list[Method]:
    """The suite's methods, then those of installed packages."""
    return [*METHODS.values(), *(own.load(name) for name in own.installed())]


def families() -> tuple[str, ...]:
    """Families of methods, each of which may run under its own Python."""
    return tuple(dict.fromkeys([*(method.family for method in METHODS.values()), own.FAMILY]))


def settings(
    name: str, obs: str, preset: str, hazard_radius: float = 0.2, task: str = ""
) -> Settings:
    """The default settings of a method with an observation under a preset.

    Raises BadInput for an unknown name of any of them.

    `hazard_radius` is the distance in metres within which hazards incur cost, 0 if there are other
    sources of cost; by default that of the published coordinates tasks. `task` only matters to
    baselines with settings for single tasks.
    """
    chosen = method(name)
    if obs == "vision" and obs not in chosen.observations:
        raise BadInput(
            f"{name} does not support images: {chosen.no_pictures}. The world models (osrp_lag, "
            "lambda, safe_slac, ...) and OmniSafe's on-policy methods (ppo_lag, cpo, ...) do; or "
            "choose --obs lidar or coordinates"
        )
    choose(f"observation of {name}", obs, chosen.observations)
    if preset == "matched" and preset not in chosen.presets:
        raise BadInput(
            f"{name} has no preset matched, which gives baselines the action repeat and cost "
            f"limit of {name}'s family: use release"
        )
    choose(f"preset of {name}", preset, chosen.presets)
    made = chosen.make_settings(obs, preset, hazard_radius, task)
    return made._replace(max_minutes=CPU_MINUTES) if preset == "cpu" else made


def check_spec(spec: RunSpec) -> None:
    """Raise BadInput, with the fix, if a run's settings do not fit its method or each other."""
    method(spec.method).check(spec)
