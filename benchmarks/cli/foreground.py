"""Train in the foreground, in this process or a child process.

Prints what is trained, the progress and how it ended, and handles signals.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

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
        from benchmarks.omnisafe.process import run_in_child

        shown = {"report_seconds": report_seconds, "verbose": verbose}
        return run_in_child("train", spec, out, **shown, **options)
    from benchmarks.training.base import in_foreground
    from benchmarks.training.launch import launch

    train = functools.partial(launch, spec, out)
    return in_foreground(train, out, spec.method, report_seconds, verbose, **options)
