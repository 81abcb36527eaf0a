"""Which leaves the learner of each method has, by part: checkpoints hold these, and no others load.

`python -m tests.learner_states` writes tests/recordings/learner_states.json anew. Do that only for
new methods, or when published runs need not load any more: new state belongs where a setting asks
for it, None elsewhere.
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
    """Of preset `cpu` on lidar: part (".params.actor") -> number of its leaves and a sum of their
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
