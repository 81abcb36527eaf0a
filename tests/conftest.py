"""Set-up of all tests: JAX's compilation cache, the rendering backend, the recordings, what this
machine lacks.
"""

from __future__ import annotations

import ctypes.util
import functools
import importlib.util
import os
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Read when JAX and MuJoCo are first imported, so they stand before every other import. Most tests
# compile for longer than they compute.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if not any(
    os.environ.get(name) for name in ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY")
) and ctypes.util.find_library("OSMesa"):
    os.environ["MUJOCO_GL"] = "osmesa"

import hypothesis
import pytest

# (its import shuts down logging handlers, and absl's would then close the stream that pytest
# captures)
import submitit  # noqa: F401

from benchmarks.cli.doctor_checks import GL_PACKAGES, try_rendering
from benchmarks.process.compilation import forget_compiled
from slurm.minicluster import packages
from slurm.minicluster.cluster import MiniCluster, temporary
from slurm.minicluster.settings import Settings
from tests import chromium

pytest.register_assert_rewrite("tests.slurm_sweeps")

# Compilation makes first examples slow; CI must not fail by the luck of a draw.
hypothesis.settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recordings of the authors' release."""
    return ROOT / "tests" / "recordings"


def learns(path: Path) -> bool:
    """Whether a file's tests train until something is learned."""
    return path.stem.endswith("_learning")


@pytest.fixture(scope="module", autouse=True)
def compiled_for_a_file(request: pytest.FixtureRequest) -> Iterator[None]:
    """Drop JAX's compiled functions after each file: kept, they grow to gigabytes.

    Tests that learn run for longer than they compile: JAX leaves their optimisation level to
    XLA_FLAGS, which the Makefile sets.
    """
    if not learns(request.path):
        yield
    else:
        import jax  # not at the top: tests of the analysis need none

        before = jax.config.read("jax_disable_most_optimizations")
        jax.config.update("jax_disable_most_optimizations", False)
        yield
        jax.config.update("jax_disable_most_optimizations", before)
    forget_compiled()


def own_variables() -> dict[str, str]:
    """The variables of the environment that choose how the suite works."""
    return {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("SAFEDREAMER_", "SLURM_"))
    }


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Fail a test that leaves a variable changed for the tests after it."""
    before = own_variables()
    yield
    after = own_variables()
    for name in after:
        del os.environ[name]
    os.environ.update(before)
    assert after == before


@functools.cache
def missing_gl() -> str:
    """Why nothing can be rendered, or ""."""
    backend = os.environ.get("MUJOCO_GL") or "glfw"
    error = try_rendering(backend, timeout_s=120.0)
    return error and (
        f"MUJOCO_GL={backend} does not render ({error}); apt-get install "
        f"{' '.join(GL_PACKAGES.values())}"
    )


@functools.cache
def missing_slurm() -> str:
    """Which of Slurm's commands and daemons are not there, or ""."""
    return packages.missing()


@functools.cache
def missing_omnisafe() -> str:
    """Which of the packages of `make omnisafe` is not there, or ""."""
    absent = [name for name in ("torch", "omnisafe") if importlib.util.find_spec(name) is None]
    return f"{' and '.join(absent)} not installed; make omnisafe" if absent else ""


def missing_browser() -> str:
    """Why no page can be opened, or ""."""
    return (
        ""
        if chromium.executable()
        else f"none of {', '.join(chromium.NAMES)} is installed; apt-get install chromium"
    )


@pytest.fixture(scope="session")
def cluster() -> Iterator[MiniCluster]:
    """A private Slurm of three nodes, for all tests together.

    Leave no jobs and no dead nodes behind.
    """
    with temporary(Settings(slurmd_timeout_s=8)) as cluster:
        yield cluster


PARTS: dict[str, Callable[[], str]] = {  # marker -> why the tests that it marks cannot run here
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
    """Start with clusters and learning: their files take longest, and one worker runs a file."""
    items.sort(key=lambda item: item.get_closest_marker("slurm") is None and not learns(item.path))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose part of the machine is missing; with --no-skips, fail it."""
    for marker, missing in PARTS.items():
        if item.get_closest_marker(marker) and (reason := missing()):
            (pytest.fail if item.config.getoption("--no-skips") else pytest.skip)(
                f"{marker}: {reason}"
            )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the parts of the suite that did not run, and why."""
    reasons = [
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
    ]
    if reasons:
        terminalreporter.section("not tested on this machine")
    for reason in sorted(set(reasons)):
        terminalreporter.write_line(f"{reasons.count(reason)} tests skipped, {reason}")
