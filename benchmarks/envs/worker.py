"""One environment behind a connection, in its own process or in this one.

The process runs `benchmarks.envs.server` in a fresh interpreter, the learner's or another
(`EnvFactory.python`). Messages are plain data (`wire.py`); only a factory that is not an EnvFactory
is pickled, and only for the same interpreter.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import sys
import sysconfig
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cloudpickle

import benchmarks
from benchmarks.envs.errors import EnvContractError, MissingGLError, WorkerError
from benchmarks.envs.factory import EnvFactory, chosen_python
from benchmarks.envs.wire import pack, spec_from_plain, unpack
from benchmarks.process.modules import API
from benchmarks.process.signals import held_back
from benchmarks.runs.errors import BadInput
from benchmarks.tasks import get_task

if TYPE_CHECKING:
    import gymnasium

    from agents.api import EnvSpec

MAKE_SECONDS = 600.0  # to make an environment: importing and compiling a model on a busy machine
THREAD_VARIABLES = (  # one thread each: the environments are what runs in parallel
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "LP_NUM_THREADS",  # Mesa's software renderer
)


REFUSED: dict[str, type[Exception]] = {
    "EnvContractError": EnvContractError,
    "MissingGLError": MissingGLError,
}


def worker_environ(python: str) -> dict[str, str]:
    """Environment variables of a worker process: one thread, and this process's import path.

    Another interpreter gets only the suite and the current folder, since packages installed for
    this one may not work there.
    """
    environ = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
    paths = [path or os.getcwd() for path in sys.path]
    if python:
        suite = Path(benchmarks.__file__).resolve().parent.parent
        installed = suite == Path(sysconfig.get_path("purelib")).resolve()
        paths = [os.getcwd()] if installed else [str(suite), str(API), os.getcwd()]
        environ.pop("PYTHONHOME", None)
    return environ | {"PYTHONPATH": os.pathsep.join(paths)}


@functools.cache
def check_python(python: str) -> None:
    """Raise BadInput with the reason if this interpreter cannot run environments.

    Takes about two seconds on the first call.
    """
    command = [python, "-c", "import benchmarks.envs.server"]
    try:
        done = subprocess.run(
            command,
            env=worker_environ(python),
            capture_output=True,
            text=True,
            timeout=MAKE_SECONDS,
            check=False,
        )
    except OSError as error:
        raise BadInput(f"environments cannot run under {python}: {error.strerror}") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise BadInput(
            f"environments cannot run under {python}: {reason}. It needs Python 3.11 with the "
            f"packages of requirements/envs.txt: {python} -m pip install --no-deps -r "
            "requirements/envs.txt"
        )


class ProcessWorker:
    """An environment in its own process. `send` returns at once; `receive` waits for the answer."""

    def __init__(self, index: int, python: str = "") -> None:
        self._index = index
        self._connection, theirs = Pipe()
        command = f"from benchmarks.envs.server import main; main({theirs.fileno()})"
        with held_back():
            # Not multiprocessing: its children import the program's main module, and thus JAX.
            self._process = subprocess.Popen(
                [python or sys.executable, "-c", command],
                pass_fds=[theirs.fileno()],
                env=worker_environ(python),
                stdin=subprocess.DEVNULL,
                stdout=2,  # what simulators print must not mix with this program's output
            )
        theirs.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, request: tuple[Any, ...]) -> None:
        """Send a request. Raises WorkerError if the process has died."""
        try:
            self._connection.send_bytes(pack(request))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error

    def receive(self, timeout_seconds: float) -> Any:
        """The answer to the last request.

        Raises WorkerError if the environment failed, its process died, or no answer came within the
        timeout. Errors that the user has to fix keep their type.
        """
        try:
            if not self._connection.poll(timeout_seconds):
                raise WorkerError(
                    f"environment {self._index} did not answer within {timeout_seconds:g} s"
                )
            status, *result = unpack(self._connection.recv_bytes())
        except (EOFError, ConnectionResetError) as error:
            raise self._death() from error
        if status == "refused":
            kind, message = result
            raise REFUSED.get(kind, BadInput)(message)
        if status == "error":
            raise WorkerError(f"environment {self._index} failed; its traceback:\n{result[0]}")
        return result[0]

    def _death(self) -> WorkerError:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return WorkerError(
                f"environment {self._index} (process {self.pid}) closed its connection"
            )
        how = (
            f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        )
        hint = "; out of memory is the usual cause of SIGKILL" if code == -signal.SIGKILL else ""
        return WorkerError(f"environment {self._index} (process {self.pid}) died: {how}{hint}")

    def ask_to_close(self) -> None:
        """Send the close request without waiting, so that several processes end in parallel."""
        with contextlib.suppress(OSError):  # the process has already ended
            self._connection.send_bytes(pack(["close"]))
        self._connection.close()

    def close(self) -> None:
        """Request the process to exit; kill it after five seconds."""
        self.ask_to_close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """Kill the process without a close request."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


class InlineWorker:
    """An environment in this process, for debugging and tests: `send` does the work.

    A crash or hang of the environment is one of the whole program.
    """

    def __init__(self, index: int) -> None:
        # imported here because they import the simulator
        from benchmarks.envs.server import Server, is_refusal

        self._index, self._server, self._is_refusal = index, Server(), is_refusal
        self._result: Any = None

    def send(self, request: tuple[Any, ...]) -> None:
        """Handle the request.

        Raises WorkerError, chained to the cause, if the environment raises; refusals propagate.
        """
        try:
            self._result = self._server.answer(request)
        except Exception as error:
            if self._is_refusal(request, error):
                raise
            raise WorkerError(
                f"environment {self._index} failed; its traceback:\n{traceback.format_exc()}"
            ) from error

    def receive(self, timeout_seconds: float) -> Any:
        """The result of the last request."""
        del timeout_seconds
        return self._result

    def ask_to_close(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        self._server.close()

    def kill(self) -> None:
        """Close a failed environment, ignoring errors."""
        with contextlib.suppress(Exception):
            self._server.close()


def make_request(make: Callable[[], gymnasium.Env]) -> tuple[Any, ...]:
    """The request that makes an environment.

    Holds settings or a pickled factory (lambdas and local functions are allowed).
    """
    if isinstance(make, EnvFactory):
        return "make", make.settings()
    return "make_pickled", cloudpickle.dumps(make)


def single_worker(make: EnvFactory) -> ProcessWorker | InlineWorker:
    """A worker for one environment: under the factory's interpreter, or in this process."""
    return ProcessWorker(0, make.python) if make.python else InlineWorker(0)


def env_factory(task: str, obs: str, action_repeat: int = 1, resize: int = 0) -> EnvFactory:
    """The factory of a task's environments, under the interpreter that the user chose.

    Raises BadInput if that interpreter cannot run them.
    """
    python = chosen_python()
    if python:
        check_python(python)
    return EnvFactory(task, obs, action_repeat, resize=resize, python=python)


def probed(make: EnvFactory, reset: bool | None = None) -> EnvSpec:
    """Spec of one environment, made for this and closed.

    Starts an episode if `reset`; if None, in a user's own environment and in one that renders, to
    detect missing parts early. Raises BadInput that names the missing part and its fix.
    """
    if reset is None:
        reset = make.obs == "vision" or get_task(make.task).custom
    worker = single_worker(make)
    try:
        worker.send(make_request(make))
        spec = spec_from_plain(worker.receive(MAKE_SECONDS))
        if reset:
            worker.send(("reset", 0))
            worker.receive(MAKE_SECONDS)
        return spec
    except BadInput:
        raise
    except (MissingGLError, ValueError) as error:
        raise BadInput(str(error)) from error
    finally:
        worker.close()
