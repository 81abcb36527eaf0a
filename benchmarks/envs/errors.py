"""Errors of environments, and the OpenGL help they print.

Imports no simulator, so that every process can raise them.
"""

from __future__ import annotations

from benchmarks.runs.errors import BadInput, RunFailed

GL_PACKAGES = "libosmesa6 libegl1 libgl1-mesa-dri"  # Debian and Ubuntu
GL_HELP = (
    f"Images need OpenGL: run `sudo apt-get install {GL_PACKAGES}`, then set MUJOCO_GL=osmesa "
    "(software) or MUJOCO_GL=egl (graphics card) before Python starts. Observations other than "
    "vision need none of it: leave MUJOCO_GL unset for them."
)


class MissingGLError(RuntimeError):
    """OpenGL cannot be used; the message names the packages to install and the variable to set."""


class EnvContractError(BadInput):
    """An environment lacks a required part or broke its contract.

    The one-line message names the fault and its fix.

    As a BadInput it ends a command with exit status 2 and is never retried: the same steps would
    raise it again.
    """


class WorkerError(RunFailed):
    """An environment failed, its process died, or it did not answer.

    The message holds its index and, if available, its traceback.
    """
