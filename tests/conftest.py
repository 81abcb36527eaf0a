"""Set-up of all tests: JAX's compilation cache, the rendering backend, the recordings, skips
of tests that this machine cannot run.
"""

from __future__ import annotations

import ctypes.util
import functools
import gc
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# JAX and MuJoCo read these on first import, so they are set before any other import. Most tests
# spend more time compiling than computing.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Otherwise a test process never shrinks below the peak of the largest test it has run.
os.environ.setdefault("SAFEDREAMER_KEEP_MEMORY", "0")
if not any(
    os.environ.get(name) for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")
) and ctypes.util.find_library("OSMesa"):
    os.environ["MUJOCO_GL"] = "osmesa"

import hypothesis
import pytest

# Imported here because its import shuts down logging handlers; absl's handler would then close the
# stream that pytest captures.
import submitit  # noqa: F401

from benchmarks.cli.doctor_checks import GL_PACKAGES, try_rendering
from benchmarks.process.compilation import forget_compiled
from slurm.minicluster import packages
from slurm.minicluster.cluster import MiniCluster, temporary
from slurm.minicluster.settings import Settings
from tests import chromium

pytest.register_assert_rewrite("tests.slurm_sweeps")

# No deadline, since compilation makes first examples slow; fixed examples in CI against flakiness.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """Folder with recordings of the authors' release."""
    return ROOT / "tests" / "recordings"


def learns(path: Path) -> bool:
    """Whether the tests of a file train until the agent has learned."""
    return path.stem.endswith("_learning")


@pytest.fixture(scope="module", autouse=True)
def compiled_for_a_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drop JAX's compiled functions after each file, since they would grow to gigabytes.

    Learning tests compute for longer than they compile, so their optimisation level is left to
    XLA_FLAGS, which the Makefile sets.
    """
    if not learns(request.path):
        yield
    else:
        import jax  # not at the top: the analysis tests do not need it

        before = jax.config.read("jax_disable_most_optimizations")
        jax.config.update("jax_disable_most_optimizations", False)
        yield
        jax.config.update("jax_disable_most_optimizations", before)
    forget_compiled()


@pytest.fixture(autouse=True)
def textures_of_a_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Collect the closed environments of a test that renders: each keeps 0.4 GB of textures until
    then.
    """
    yield
    if request.node.get_closest_marker("gl"):
        gc.collect()


def own_variables() -> dict[str, str]:
    """Environment variables that change the suite's behaviour."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("SAFEDREAMER_", "SLURM_"))
    }


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Fail a test that leaves such a variable changed, and restore it."""
    before = own_variables()
    yield
    after = own_variables()
    for name in after:
        del os.environ[name]
    os.environ.update(before)
    assert after == before


@functools.cache
def missing_gl() -> str:
    """Why rendering is impossible, or ""."""
    backend = os.environ.get("MUJOCO_GL") or "glfw"
    error = try_rendering(backend, timeout_s=120.0)
    return error and (
        f"MUJOCO_GL={backend} does not render ({error}); apt-get install "
        f"{' '.join(GL_PACKAGES.values())}"
    )


@functools.cache
def missing_slurm() -> str:
    """Missing commands and daemons of Slurm, or ""."""
    return packages.missing()


@functools.cache
def missing_omnisafe() -> str:
    """Missing packages of `make omnisafe`, or ""."""
    absent = [name for name in ("torch", "omnisafe") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed; make omnisafe" if absent else ""


def missing_browser() -> str:
    """Why no browser is available, or ""."""
    return (
        ""
        if chromium.executable()
        else f"none of {', '.join(chromium.NAMES)} is installed; apt-get install chromium"
    )


@pytest.fixture(scope="session")
def cluster() -> Iterator[MiniCluster]:
    """A private Slurm of three nodes, shared by all tests.

    Tests must leave no jobs and no dead nodes behind.
    """
    with temporary(Settings(slurmd_timeout_s=8)) as cluster:
        yield cluster


PARTS: dict[str, Callable[[], str]] = {  # marker -> why its tests cannot run here
    "gl": missing_gl,
    "slurm": missing_slurm,
    "omnisafe": missing_omnisafe,
    "browser": missing_browser,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail where a part of the machine is missing, instead of skipping",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run first what takes longest, each file on one worker: clusters, learning, examples and
    OmniSafe's algorithms.
    """
    long = ("test_examples", "test_omnisafe_runs")
    items.sort(
        key=lambda item: (
            item.get_closest_marker("slurm") is None
            and not learns(item.path)
            and item.path.stem not in long
        )
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose requirements are missing; with --no-skips, fail it."""
    for marker, missing in PARTS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            (pytest.fail if item.config.getoption("--no-skips") else pytest.skip)(
                f"{marker}: {reason}"
            )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the tests that did not run, and why."""
    reasons = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
    ]
    if reasons:
        terminalreporter.section("not tested on this machine")
    for reason in sorted(set(reasons)):
        terminalreporter.write_line(f"{reasons.count(reason)} tests skipped, {reason}")
