"""`python -m benchmarks.perf.checkpoints [--out results/perf]`.

Measure size and duration of a preset's checkpoints with a full replay buffer.

The learner is the preset's. Its replay buffer is filled to capacity with random rows (mapped to
files, as a buffer larger than memory must be) and saved once as a whole; then rows are added and
saved as often as in a run, which writes only new rows. All other numbers are medians of the
repeats.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from agents.replay import journal
from agents.replay.buffer import Replay
from benchmarks.cli.common import program
from benchmarks.methods import settings
from benchmarks.perf.cases import Case, random_array
from benchmarks.runs import checkpoint
from benchmarks.runs.places import check_folder
from benchmarks.runs.provenance import write_report
from benchmarks.training.transitions import row_specs

PROG = "python -m benchmarks.perf.checkpoints"
BLOCK = 1000  # rows added at once


@dataclasses.dataclass(frozen=True)
class CheckpointOptions:
    """Measure the checkpoints of a method's preset."""

    method: str = "osrp_lag"
    """Method."""
    obs: str = "vision"
    """Observation: vision or coordinates."""
    preset: str = "release"
    """Preset."""
    capacity: int | None = None
    """Capacity of the replay buffer in transitions; default: the preset's. The release's 1e6 with
    images need 50 GB of disk.
    """
    repeats: int = 3
    """Checkpoints after the first."""
    scratch: Path = Path(tempfile.gettempdir())
    """Folder for replay buffer and checkpoints; removed afterwards."""
    out: Path | None = None
    """Folder for checkpoints.json; if not given, results are only printed."""


def fill(replay: Replay, rows: int, block: dict[str, np.ndarray]) -> None:
    """Add `rows` rows, repeating those of the block."""
    for index in range(rows):
        replay.add({name: values[index % BLOCK][None] for name, values in block.items()})


def measure(options: CheckpointOptions, folder: Path) -> dict[str, Any]:
    """Bytes and seconds of the first checkpoint and of later ones."""
    agent, loop = Case("", options.method, options.obs, "update", preset=options.preset).agent()
    preset = settings(options.method, options.obs, options.preset)
    capacity, rows = options.capacity or preset.replay.capacity, loop.checkpoint_every
    state, specs = agent.init(0), row_specs(agent.env)
    block = {
        name: random_array(spec, (BLOCK,)) for name, spec in specs.items() if spec.dtype != "bool"
    }
    block |= {name: np.zeros(BLOCK, bool) for name in ("is_first", "is_last", "is_terminal")}
    replay = Replay(specs, capacity, 1, folder / "buffer")
    result: dict[str, Any] = {"transitions": capacity, "new_rows_per_checkpoint": rows}
    print(f"filling the buffer with {capacity:,} transitions", flush=True)
    fill(replay, capacity, block)
    costs = []
    for index in range(1 + options.repeats):
        if index:
            fill(replay, rows, block)
        start = time.perf_counter()
        before = set((folder / "replay").glob("*"))
        journal.save(replay, folder / "replay")
        middle = time.perf_counter()
        saved = checkpoint.save(folder / "checkpoints", index, {checkpoint.LEARNER: state}, {})
        end = time.perf_counter()
        new = set((folder / "replay").glob("*")) - before
        costs.append((size(new), middle - start, size(saved.iterdir()), end - middle))
        print(
            "replay {:.3e} bytes {:.2f} s, learner {:.3e} bytes {:.2f} s".format(*costs[-1]),
            flush=True,
        )
    replay.close()
    names = ("replay_bytes", "replay_seconds", "learner_bytes", "learner_seconds")
    later = np.median(costs[1:], 0)
    result |= {f"first_{name}": value for name, value in zip(names, costs[0], strict=True)}
    return result | {name: float(value) for name, value in zip(names, later, strict=True)}


def size(paths: Any) -> int:
    """Total bytes of some files."""
    return sum(path.stat().st_size for path in paths)


def main(options: CheckpointOptions) -> int:
    check_folder(options.scratch, "--scratch")
    if options.out:
        check_folder(options.out)
    with tempfile.TemporaryDirectory(prefix="checkpoints-", dir=options.scratch) as folder:
        result = measure(options, Path(folder))
    print(json.dumps(result, indent=1))
    if options.out:
        write_report(options.out / "checkpoints.json", result)
    return 0


if __name__ == "__main__":
    sys.exit(program(CheckpointOptions, main, PROG, __doc__))
