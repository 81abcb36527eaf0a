"""Train with one version of the code, through the command line that its pyproject.toml defines.

Nothing here imports the suite: a version is a folder, and its output is two files. Both versions
run in this interpreter, with the same installed packages, flags and compilation cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
TASKS = Path(__file__).parent / "tasks"
VECTORS_ONLY = ("sac_lag", "mbpo_lag", "dyna_lag", "mve_lag")  # no image observations
METHODS = (
    *("osrp", "osrp_lag", "bsrp_lag", "dreamerv3", "cem", "lambda", "safe_slac"),
    *VECTORS_ONLY,
)
KINDS = {  # name -> (task, observation)
    "coordinates": ("SafetyPointGoal1-v0", "coordinates"),  # one episode is longer than the run
    # many episodes, so that updates at episode ends are compared too
    "pictures": ("lock_tasks:pictures", "default"),
}
FILES = ("metrics.jsonl", "episodes.csv")
# Log metrics after every iteration of the two environments, so that no row averages two updates,
# except for those before the policy's first action.
OPTIONS = ("--preset", "debug", "--seed", "3", "--steps", "480", "--loop.log-every", "1")
TIMEOUT_S = 1200.0
# Check where the code was imported from, then do what the installed command does.
START = """
import importlib, sys
tree, module, name = sys.argv[1:4]
code = importlib.import_module(module)
if not code.__file__.startswith(tree):
    sys.exit(f"{module} was imported from {code.__file__}, not from {tree}")
sys.argv[:4] = ["safedreamer"]
sys.exit(getattr(code, name)())
"""


class Case(NamedTuple):
    """One training run."""

    method: str
    kind: str

    def __str__(self) -> str:
        return f"{self.method}-{self.kind}"


def cases_of(methods: Sequence[str], kinds: Sequence[str]) -> list[Case]:
    """All supported combinations of these methods and kinds of observations."""
    return [
        Case(method, kind)
        for kind in kinds
        for method in methods
        if not (kind == "pictures" and method in VECTORS_ONLY)
    ]


class TrainingFailed(RuntimeError):
    """A training exited with a nonzero status; the message holds the end of its output."""


def git(*args: str, cwd: Path = ROOT) -> str:
    """Output of a git command, stripped."""
    return subprocess.run(
        ["git", *args], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout.strip()


@contextlib.contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """A commit's files in a temporary git worktree."""
    with tempfile.TemporaryDirectory(prefix="lock-") as folder:
        tree = Path(folder) / "tree"
        git("worktree", "add", "--detach", "--quiet", str(tree), commit)
        try:
            yield tree
        finally:
            git("worktree", "remove", "--force", str(tree))


def settings() -> str:
    """Digest of everything besides the version that determines the numbers.

    This file, the tasks and the versions of installed packages.
    """
    digest = hashlib.sha256()
    for path in (Path(__file__), *sorted(TASKS.glob("*.py"))):
        digest.update(path.read_bytes())
    for package in ("jax", "jaxlib", "flax", "optax", "numpy", "mujoco", "safety-gymnasium"):
        digest.update(importlib.metadata.version(package).encode())
    return digest.hexdigest()[:10]


def train(tree: Path, case: Case, kept: Path) -> Path:
    """Return the folder `kept` with FILES of the training; train only if it does not exist.

    Raises TrainingFailed.
    """
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lock-", dir=kept.parent) as folder:
        _run(tree, case, Path(folder) / "run")
        new = Path(folder) / "new"
        new.mkdir()
        for name in FILES:
            shutil.copy(Path(folder) / "run" / name, new)
        new.rename(kept)
    return kept


def _run(tree: Path, case: Case, out: Path) -> None:
    task, obs = KINDS[case.kind]
    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["scripts"]["safedreamer"].partition(":")
    command = [
        sys.executable,
        "-c",
        START,
        str(tree),
        module,
        name,
        "train",
        "--method",
        case.method,
        "--task",
        task,
    ]
    command += ["--obs", obs, "--out", str(out), *OPTIONS]
    done = subprocess.run(
        command,
        cwd=TASKS,
        env=_environment(tree),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT_S,
    )
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise TrainingFailed(f"{case} of {tree} ended with status {done.returncode}:\n{tail}")


def _environment(tree: Path) -> dict[str, str]:
    """Environment variables without OpenGL and accelerators.

    Most compiler optimisations are off, because compilation takes longer than the trainings.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")
    }
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(ROOT / ".cache" / "jax")
    return kept | {
        "PYTHONPATH": os.pathsep.join([str(tree), str(TASKS)]),
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
