"""A user's own methods, trained and listed like the suite's.

`module:METHOD` names a `Method` in a module on the import path or in the current folder; an
installed package registers its methods in the entry-point group `safedreamer.methods`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from importlib import metadata
from typing import Any

from agents.api import Agent, EnvSpec
from benchmarks.methods.loops import SHARED
from benchmarks.methods.method import Method, Settings
from benchmarks.runs.errors import BadInput
from benchmarks.runs.references import is_reference, load_object
from benchmarks.runs.spec import LoopConfig, ReplayConfig

GROUP = "safedreamer.methods"
FAMILY = "own"


def own_method(
    make_agent: Callable[[Any, EnvSpec], Agent],
    config: Any,
    *,
    summary: str,
    steps: int = 1_000_000,
    loop: LoopConfig = LoopConfig(),
    replay: ReplayConfig = ReplayConfig(),
    debug_config: Any = None,
    observations: tuple[str, ...] = ("coordinates", "lidar", "default"),
    constrains: str = "nothing: maximises reward",
    paper: str = "",
) -> Method:
    """Create a method from the factory of its agent and a frozen dataclass of its settings.

    Preset release uses `loop`, `replay` and `config` for `steps` simulator steps; cpu and debug use
    the loops of the suite's methods; `debug_config` replaces `config` in debug. The method gets the
    name by which it is loaded. Raises BadInput if `config` is not an instance of a frozen dataclass
    with hashable values.
    """
    for given in (config, *([] if debug_config is None else [debug_config])):
        _check_config(given)
    debug_steps, debug_loop, debug_replay = SHARED["debug"]
    presets: dict[str, Settings] = {
        "release": Settings(steps, loop, replay, config),
        "cpu": Settings(*SHARED["cpu"], config),
        "debug": Settings(
            debug_steps,
            dataclasses.replace(debug_loop, resize=loop.resize),
            debug_replay,
            config if debug_config is None else debug_config,
        ),
    }
    return Method(
        name="",
        family=FAMILY,
        kind=FAMILY,
        summary=summary,
        constrains=constrains,
        paper=paper,
        observations=observations,
        presets=tuple(presets),
        action_repeat=loop.action_repeat,
        load_config_type=lambda obs: type(config),
        make_settings=lambda obs, preset, hazard_radius, task: presets[preset],
        make_agent=make_agent,
        no_pictures="its observations do not name vision",
    )


def _check_config(config: Any) -> None:
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        raise BadInput(f"config must be an instance of a frozen dataclass, got {config!r:.80}")
    name = type(config).__name__
    if not type(config).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise BadInput(f"{name} must be frozen: add frozen=True to its @dataclass")
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        try:
            hash(value)
        except TypeError as error:
            raise BadInput(
                f"{name}.{field.name} is a {type(value).__name__}, which can change: let it be a "
                "number, text, a tuple or a frozen dataclass"
            ) from error


def is_own(name: str) -> bool:
    """Whether the name is that of a user's method."""
    return is_reference(name) or name in installed()


@functools.cache
def installed() -> dict[str, metadata.EntryPoint]:
    """Methods of installed packages by name, not imported yet."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


@functools.cache
def load(name: str) -> Method:
    """Load the user's method of that name. Raises BadInput if there is none."""
    try:
        point = installed().get(name)
        found = load_object("method", name) if point is None else point.load()
    except (ValueError, AttributeError, ImportError) as error:
        raise BadInput(str(error)) from error
    if not isinstance(found, Method):
        raise BadInput(
            f"method {name!r} is a {type(found).__name__}; let it be what "
            "safedreamer_suite.own_method(...) returns"
        )
    return dataclasses.replace(found, name=name)
