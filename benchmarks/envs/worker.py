"""One environment behind a connection: the program of an environment process, and the same without a process.

The process is a fresh interpreter that imports only what the environment needs: no JAX, nothing of the program that started it.
Requests are tuples, ("make", pickled factory), ("reset", seed), ("step", action), ("replay", seed, actions), ("close",); every one
but the last is answered by ("ok", result) or ("error", traceback). When the connection breaks, the process ends.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle
import gymnasium
import numpy as np

from benchmarks.envs.make import env_facts
from benchmarks.signals import HEARD, held_back, let_through
from benchmarks.spec import RunFailed

THREAD_VARIABLES = (  # one thread each: the environments are what runs in parallel
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "LP_NUM_THREADS",  # Mesa's software renderer
)


class WorkerError(RunFailed):
    """An environment failed, died or did not answer; the message holds its index and, where there is one, its traceback."""


class Server:
    """Answers requests with one environment."""

    def __init__(self) -> None:
        self._env: gymnasium.Env | None = None

    def answer(self, request: tuple[Any, ...]) -> Any:
        """The result of one request; whatever the environment raises passes through."""
        kind, *rest = request
        if kind == "make":
            env = self._env = pickle.loads(rest[0])()
            return env_facts(env)
        if self._env is None:
            raise RuntimeError(f"request {kind!r} before make")
        if kind == "reset":
            obs, _ = self._env.reset(seed=rest[0])
            return obs
        if kind == "step":
            return self._env.step(rest[0])
        if kind == "replay":
            return self._replay(self._env, *rest)
        raise ValueError(f"unknown request {kind!r}")

    @staticmethod
    def _replay(env: gymnasium.Env, seed: int, actions: np.ndarray) -> Any:
        """Start the episode of a seed and take actions [T, A]; the answer of the last request this stands for."""
        answer, _ = env.reset(seed=seed)
        for action in actions:
            answer = env.step(action)
        return answer

    def close(self) -> None:
        """Close the environment."""
        if self._env is not None:
            self._env.close()


def main(descriptor: int) -> None:
    """The environment process: serve requests from the inherited connection until it closes."""
    # Signals to the whole job reach us too, while the parent still needs our answers; it closes the connection when done.
    for number in HEARD:
        signal.signal(number, signal.SIG_IGN)
    let_through()
    connection = Connection(descriptor)
    server = Server()
    while True:
        try:
            request = connection.recv()
        except (EOFError, ConnectionResetError):  # the parent is gone
            break
        if request[0] == "close":
            break
        try:
            reply = ("ok", server.answer(request))
        except Exception:  # noqa: BLE001 (the parent raises it, traceback and all)
            reply = ("error", traceback.format_exc())
        try:
            connection.send(reply)
        except (BrokenPipeError, ConnectionResetError):  # the parent is gone
            break
    server.close()


class ProcessWorker:
    """An environment in a process of its own. `send` returns at once; `receive` waits for the answer."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._connection, theirs = Pipe()
        environ = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1")}
        environ["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
        command = f"from benchmarks.envs.worker import main; main({theirs.fileno()})"
        with held_back():
            # Not multiprocessing: its children import the program's main module again, and with it JAX.
            self._process = subprocess.Popen(
                [sys.executable, "-c", command],
                pass_fds=[theirs.fileno()],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=2,  # what simulators print must not mix with this program's output
            )
        theirs.close()

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def send(self, request: tuple[Any, ...]) -> None:
        """Send a request. Raises WorkerError if the process has died."""
        try:
            self._connection.send(request)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error

    def receive(self, timeout_seconds: float) -> Any:
        """The answer to the last request. Raises WorkerError for an error there, a death, or no answer within the timeout."""
        try:
            if not self._connection.poll(timeout_seconds):
                raise WorkerError(f"environment {self._index} did not answer within {timeout_seconds:g} s")
            status, result = self._connection.recv()
        except (EOFError, ConnectionResetError) as error:
            raise self._death() from error
        if status == "error":
            raise WorkerError(f"environment {self._index} failed; its traceback:\n{result}")
        return result

    def _death(self) -> WorkerError:
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return WorkerError(f"environment {self._index} (process {self.pid}) closed its connection")
        how = f"killed by signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        hint = "; out of memory is the usual cause of SIGKILL" if code == -signal.SIGKILL else ""
        return WorkerError(f"environment {self._index} (process {self.pid}) died: {how}{hint}")

    def ask_to_close(self) -> None:
        """Let the process end while others are asked."""
        with contextlib.suppress(OSError):  # already gone, which is all that is asked
            self._connection.send(("close",))
        self._connection.close()

    def close(self) -> None:
        """End the process: ask, then kill after five seconds."""
        self.ask_to_close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End a process that cannot be asked."""
        self._connection.close()
        self._process.kill()
        self._process.wait()


class InlineWorker:
    """The same in this process, for debugging and for tests: `send` does the work. Crashes and hangs are the program's own."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._server = Server()
        self._result: Any = None

    def send(self, request: tuple[Any, ...]) -> None:
        """Do what is requested. Raises WorkerError where the environment raises anything, from that."""
        try:
            self._result = self._server.answer(request)
        except Exception as error:
            raise WorkerError(f"environment {self._index} failed; its traceback:\n{traceback.format_exc()}") from error

    def receive(self, timeout_seconds: float) -> Any:
        """The result of the last request."""
        del timeout_seconds
        return self._result

    def ask_to_close(self) -> None:
        """Nothing to wait for."""

    def close(self) -> None:
        """Close the environment."""
        self._server.close()

    def kill(self) -> None:
        """Close an environment that has failed, whatever it says to that."""
        with contextlib.suppress(Exception):
            self._server.close()


def pickled(make: Callable[[], gymnasium.Env]) -> bytes:
    """A factory as bytes; lambdas and local functions are fine."""
    return cloudpickle.dumps(make)


def as_action(action: np.ndarray) -> np.ndarray:
    """An action as it is sent: contiguous, independent of the caller's buffer."""
    return np.array(action, dtype=np.float32)
