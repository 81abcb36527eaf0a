"""Entry point of an environment process: serves one environment over a connection.

The process is a fresh interpreter, possibly of another version than the learner's, that imports
only what the environment needs: no JAX, nothing of the program that started it. Requests are lists:
["make", arguments of make_wrapped], ["make_pickled", bytes] (same interpreter only), ["reset",
seed], ["step", action], ["replay", seed, actions], ["render"], ["heading"], ["close"]. Each but the
last is answered by ["ok", result], ["refused", error type, message] or ["error", traceback]. The
process exits when the connection breaks.
"""

from __future__ import annotations

import pickle
import signal
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import benchmarks.envs.compat  # noqa: F401 (first: it prepares what Gymnasium imports)

# isort: split
import gymnasium
import numpy as np

from benchmarks.envs.errors import EnvContractError, MissingGLError
from benchmarks.envs.make import env_spec, heading, make_wrapped
from benchmarks.envs.wire import pack, spec_to_plain, unpack
from benchmarks.process.signals import HEARD, let_through

# for the user to fix: a retry would raise them again
REFUSALS = (EnvContractError, MissingGLError)


def is_refusal(request: Sequence[Any], error: Exception) -> bool:
    """Whether the user has to fix the cause of an error.

    This includes a ValueError raised while making an environment.
    """
    return isinstance(error, REFUSALS) or (
        isinstance(error, ValueError) and str(request[0]).startswith("make")
    )


class Server:
    """Handles requests to one environment."""

    def __init__(self) -> None:
        self._env: gymnasium.Env | None = None

    def answer(self, request: tuple[Any, ...] | list[Any]) -> Any:
        """The result of one request; errors of the environment propagate."""
        kind, *rest = request
        if kind == "make":
            return self._made(make_wrapped(**rest[0]))
        if kind == "make_pickled":
            return self._made(pickle.loads(rest[0])())
        if self._env is None:
            raise RuntimeError(f"request {kind!r} before make")
        if kind == "reset":
            obs, _ = self._env.reset(seed=rest[0])
            return obs
        if kind == "step":
            return self._env.step(rest[0])
        if kind == "replay":
            return self._replay(self._env, *rest)
        if kind == "render":
            return self._env.render()
        if kind == "heading":
            return heading(self._env)
        raise ValueError(f"unknown request {kind!r}")

    def _made(self, env: gymnasium.Env) -> dict[str, Any]:
        self._env = env
        return spec_to_plain(env_spec(env))

    @staticmethod
    def _replay(env: gymnasium.Env, seed: int, actions: np.ndarray) -> Any:
        """Start the episode of a seed and take actions [T, A].

        Returns the result of the last step, or of the reset if there are no actions.
        """
        answer, _ = env.reset(seed=seed)
        for action in actions:
            answer = env.step(action)
        return answer

    def close(self) -> None:
        if self._env is not None:
            self._env.close()


def main(descriptor: int) -> None:
    """Serve requests from the inherited connection until it closes."""
    # Signals to the whole job reach this process while the parent still needs its answers; the
    # parent closes the connection when done.
    for number in HEARD:
        signal.signal(number, signal.SIG_IGN)
    let_through()
    connection = Connection(descriptor)
    server = Server()
    while True:
        try:
            request = unpack(connection.recv_bytes())
        except (EOFError, ConnectionResetError):  # the parent has exited
            break
        if request[0] == "close":
            break
        try:
            reply = pack(["ok", server.answer(request)])
        except Exception as error:  # noqa: BLE001 (the parent raises it)
            if is_refusal(request, error):
                reply = pack(["refused", type(error).__name__, str(error)])
            else:
                reply = pack(["error", traceback.format_exc()])
        try:
            connection.send_bytes(reply)
        except (BrokenPipeError, ConnectionResetError):  # the parent has exited
            break
    server.close()
