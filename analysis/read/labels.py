"""Display names of methods and tasks, and the order in which methods are listed."""

from __future__ import annotations

from collections.abc import Iterable

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


def method_order(labels: Iterable[str]) -> list[str]:
    """Each label once: known methods in the order of METHODS, then all others by name."""
    names = set(labels)
    return [name for name in METHODS if name in names] + sorted(names - METHODS.keys())


def split_label(label: str) -> tuple[str, str]:
    """Method and variant of a label: `osrp [cost_limit=5]` -> `osrp`, `cost_limit=5`.

    The variant is "" where there is none.
    """
    method, bracket, variant = label.partition(" [")
    return (method, variant.removesuffix("]")) if bracket else (label, "")


def method_label(label: str) -> str:
    """Display name of a method or of a method with its variant.

    The name itself where none is known.
    """
    method, variant = split_label(label)
    name = METHODS.get(method, method)
    return f"{name} [{variant}]" if variant else name


def task_label(task: str, obs: str) -> str:
    """Panel title: `SafetyPointGoal1-v0`, `coordinates` -> `PointGoal1 (coordinates)`."""
    short = task.removeprefix("Safety").rsplit("-v", 1)[0]
    return f"{short} ({obs})" if obs else short
