"""`python -m benchmarks.omnisafe RUN_FOLDER`.

The process in which OmniSafe trains or is evaluated, without JAX.

The request is one JSON object on a line of stdin (see benchmarks.omnisafe.process). When stdin
closes, the parent has exited, and this process ends at once. Exit statuses are those of
`safedreamer`.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.envs.compat import import_safety_gymnasium

import_safety_gymnasium()  # with the patch for Python 3.11, before OmniSafe imports it

from benchmarks.envs import EnvFactory  # noqa: E402
from benchmarks.envs.worker import env_factory, probed  # noqa: E402
from benchmarks.methods import method  # noqa: E402
from benchmarks.methods import omnisafe_presets as presets  # noqa: E402
from benchmarks.process.exits import FAILED, explained  # noqa: E402
from benchmarks.process.signals import let_through  # noqa: E402
from benchmarks.process.stdout import going_on  # noqa: E402
from benchmarks.runs.spec import RunSpec  # noqa: E402
from benchmarks.runs.spec_file import from_dict  # noqa: E402
from benchmarks.training.base import in_foreground  # noqa: E402

PROG = "safedreamer"


def environment(spec: RunSpec) -> EnvFactory:
    """The factory of the run's environments. Raises BadInput if one cannot be made."""
    repeat = presets.budget(spec, 1).env_repeat
    make = env_factory(spec.task, spec.obs, repeat, spec.loop.resize)
    probed(make, reset=True)
    return make


def train(spec: RunSpec, out: Path, report_seconds: float, verbose: bool, **options: Any) -> int:
    """Train; returns 0, or EXIT_STOPPED after a signal."""
    from benchmarks.omnisafe import loop

    presets.check(spec)
    return in_foreground(
        lambda chosen: loop.train(spec, out, environment(spec), chosen),
        out,
        spec.method,
        report_seconds,
        verbose,
        **options,
    )


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> int:
    """Run the request read from stdin."""
    order = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()

    def command() -> int:
        spec = from_dict(
            order["spec"], method(order["spec"]["method"]).config_type(order["spec"]["obs"])
        )
        out = Path(sys.argv[1])
        if order["do"] == "train":
            return train(spec, out, **order["options"])
        from benchmarks.omnisafe import evaluate, publish

        let_through()
        do = {
            "evaluate": evaluate.evaluate_run,
            "stress": evaluate.evaluate_changed,
            "keep": publish.write_kept,
        }[order["do"]]
        return do(spec, out, environment(spec), **order["options"])

    try:
        return explained(PROG, command)
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "omnisafe"):
            raise
        print(f"{PROG}: error: {error.name} is not installed: run `make omnisafe`", file=sys.stderr)
        return 2


def entry() -> NoReturn:
    """Run the process and exit without interpreter shutdown.

    Unloading torch and MuJoCo takes long, and the thread that waits for the parent never ends. An
    unexpected error must not shut the interpreter down either: it would abort because of that
    thread.
    """
    try:
        status = going_on(PROG, main)
    except Exception:  # noqa: BLE001 (the process ends with it)
        with contextlib.suppress(OSError):  # the reader has exited
            traceback.print_exc()
            sys.stderr.flush()
        status = FAILED
    os._exit(status)


if __name__ == "__main__":
    entry()
