"""Train in the foreground, in this process or a child process.

Prints what is trained, the progress and how it ended, and handles signals.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from benchmarks.process.exits import training_ended
from benchmarks.runs.spec import RunSpec


def train_here(
    spec: RunSpec, out: Path, report_seconds: float, verbose: bool = False, **options: Any
) -> int:
    """Train `spec` in `out`; `options` are those of benchmarks.training.loop.Options.

    `verbose` shows losses. Returns 0, or EXIT_STOPPED after a signal.
    """
    from benchmarks.methods import method

    print(
        f"{spec.method} on {spec.task} ({spec.obs}), seed {spec.seed}, run {spec.run_id} in {out}",
        flush=True,
    )
    if method(spec.method).engine == "torch":
        from benchmarks.omnisafe.process import train_in_child

        return train_in_child(spec, out, report_seconds, verbose, **options)
    from benchmarks.process.signals import OnSignal
    from benchmarks.training.launch import launch
    from benchmarks.training.loop import Options
    from benchmarks.training.progress import reporter

    live = reporter(spec.method, report_seconds, verbose)
    with OnSignal() as stop, contextlib.closing(live):
        result = launch(spec, out, Options(reporter=live, stop=stop, **options))
    return training_ended(result.finished, stop(), result.env_steps, result.updates, out)
