"""The suite from Python: `import safedreamer_suite as sd`.

Names and their types are in `__init__.pyi`; each is imported on first use, so that importing this
package loads neither JAX nor a simulator. Only here are training and analysis combined, by name:
neither imports the other.
"""

from __future__ import annotations

import importlib
from typing import Any

_FROM = {
    "BadInput": "benchmarks.runs.errors",
    "EnvSpec": "agents.api",
    "LoopConfig": "benchmarks.runs.spec",
    "Policy": "benchmarks.api.policies",
    "ReplayConfig": "benchmarks.runs.spec",
    "draw_curves": "analysis.commands.interactive",
    "load_agent": "benchmarks.api.policies",
    "load_official": "benchmarks.api.policies",
    "make_agent": "benchmarks.api.policies",
    "make_env": "benchmarks.envs.make",
    "own_method": "benchmarks.methods",
    "read_results": "analysis.commands.interactive",
    "train": "benchmarks.api.training",
}


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"safedreamer_suite has no {name!r}; it has {', '.join(_FROM)}")
    value = globals()[name] = getattr(importlib.import_module(_FROM[name]), name)
    return value


def __dir__() -> list[str]:
    return list(_FROM)
