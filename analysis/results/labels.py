"""Names of methods and tasks as figures and tables show them, and the order of methods.

A *label* identifies what is compared: the method, where its costs come from if they are not
learned, and its variant: `osrp`, `osrp (tracked hazards)`, `osrp [cost_limit=5]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

# The suite's own variants first, then baselines.
METHODS: dict[str, str] = {
    "dreamerv3": "DreamerV3 (unsafe)",
    "cem": "CEM (unsafe)",
    "osrp": "OSRP",
    "osrp_lag": "OSRP-Lag",
    "bsrp_lag": "BSRP-Lag",
    "lambda": "LAMBDA",
    "safe_slac": "Safe SLAC",
    "ppo": "PPO",
    "ppo_lag": "PPO-Lag",
    "trpo": "TRPO",
    "trpo_lag": "TRPO-Lag",
    "cpo": "CPO",
    "focops": "FOCOPS",
    "cppo_pid": "CPPO-PID",
    "omnisafe_sac_lag": "SAC-Lag (OmniSafe)",
    "sac": "SAC",
    "sac_lag": "SAC-Lag",
    "dyna": "Dyna",
    "dyna_lag": "Dyna-Lag",
    "mbpo": "MBPO",
    "mbpo_lag": "MBPO-Lag",
    "mve": "MVE",
    "mve_lag": "MVE-Lag",
}
# `model.cost_source` -> the source of costs that are given, not learned from the signal
GIVEN = {"tracked": "tracked hazards", "geometry": "hazard geometry"}
LEARNED = ("", "head", "none")  # learned, or no costs at all
_GIVEN = re.compile(rf" \(({'|'.join(GIVEN.values())}|costs from [^()]*)\)$")


class Label(NamedTuple):
    """The parts of a label; `given` and `variant` are "" where there is none."""

    method: str
    given: str
    variant: str


def label(method: str, variant: str = "", cost_source: str = "") -> str:
    """The label of a method with a variant; runs with given costs have a label of their own.

    A variant is spelled as `safedreamer status` lists it, unless it only names the given costs.
    """
    if cost_source not in LEARNED:
        given = GIVEN.get(cost_source, f"costs from {cost_source}")
        method, variant = f"{method} ({given})", "" if variant == given else variant
    return f"{method} [{variant}]" if variant else method


def split_label(label: str) -> Label:
    """Method, given costs and variant of a label.

    `osrp (tracked hazards) [cost_limit=5]` -> `osrp`, `tracked hazards`, `cost_limit=5`.
    """
    name, bracket, variant = label.partition(" [")
    found = _GIVEN.search(name)
    method, given = (name[: found.start()], found[1]) if found else (name, "")
    return Label(method, given, variant.removesuffix("]") if bracket else "")


def without_variant(label: str) -> str:
    """The label of the plain method with the same source of costs."""
    return label.partition(" [")[0]


def method_label(label: str) -> str:
    """Display name of a label; the name itself for an unknown method."""
    method, given, variant = split_label(label)
    name = METHODS.get(method, method)
    return name + (f" ({given})" if given else "") + (f" [{variant}]" if variant else "")


def method_order(labels: Iterable[str]) -> list[str]:
    """Unique labels: methods in the order of METHODS, each with learned costs before given costs;
    then other methods and variants by name.
    """
    rank = {name: place for place, name in enumerate(METHODS)}

    def key(name: str) -> tuple[int, str]:
        method, _, variant = split_label(name)
        return (len(METHODS) if variant else rank.get(method, len(METHODS)), name)

    return sorted(set(labels), key=key)


def task_label(task: str, obs: str) -> str:
    """Panel title: `SafetyPointGoal1-v0`, `coordinates` -> `PointGoal1 (coordinates)`."""
    short = task.removeprefix("Safety").rsplit("-v", 1)[0]
    return f"{short} ({obs})" if obs else short


def panel_title(task: str, obs: str, limits: Iterable[float]) -> str:
    """Task, observation and cost limit: `PointGoal1 (coordinates), limit 2`."""
    shown = ", ".join(f"{limit:g}" for limit in limits)
    return task_label(task, obs) + (f", limit {shown}" if shown else "")


def plural(count: int, noun: str) -> str:
    """`1 seed`, `3 seeds`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
