"""Leaves of each method's learner state, by part; a checkpoint loads only if its leaves match.

`python -m tests.learner_states` rewrites tests/recordings/learner_states.json. Do that only for new
methods, or when published runs no longer need to load. New state should exist only where a setting
enables it, and be None elsewhere.
"""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path

import jax

from benchmarks.methods import METHODS
from tests.agent_inputs import LIDAR

RECORDING = Path(__file__).parent / "recordings" / "learner_states.json"
RECORDED = (
    "osrp_lag", "bsrp_lag", "dreamerv3", "lambda", "safe_slac",
    "sac_lag", "mbpo_lag", "dyna_lag", "mve_lag",
)  # fmt: skip
TASK = "SafetyPointCircle1-v0"


def parts(method: str) -> dict[str, str]:
    """For preset `cpu` on lidar: part (".params.actor") -> number of leaves and checksum of their
    names.
    """
    entry = METHODS[method]
    config = entry.make_settings("lidar", "cpu", 0.0, TASK).agent
    state = jax.eval_shape(entry.agent(config, LIDAR).init, 0)
    found: dict[str, list[str]] = {}
    for path, _ in jax.tree_util.tree_leaves_with_path(state):
        name = jax.tree_util.keystr(path)
        part = re.match(r"\.\w+(\.\w+)?", name)
        assert part is not None, name
        found.setdefault(part[0], []).append(name)
    return {
        part: f"{len(names)} {zlib.crc32(chr(10).join(sorted(names)).encode()):08x}"
        for part, names in found.items()
    }


if __name__ == "__main__":
    RECORDING.write_text(json.dumps({name: parts(name) for name in RECORDED}, indent=1) + "\n")
