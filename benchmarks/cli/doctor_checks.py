"""Checks of this machine and this interpreter, with the commands that fix what is missing.

Anything that could crash or claim a device (JAX, OpenGL) is tried in a separate process. Importing
this file loads neither.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Literal

from benchmarks.runs.provenance import installed_version

Status = Literal["ok", "warn", "missing"]

ROOT = Path(__file__).resolve().parents[2]
LEARNER = ("numpy", "jax", "jaxlib", "flax", "optax", "chex")
SIMULATOR = ("gymnasium", "mujoco", "safety-gymnasium", "pygame")
ANALYSIS = ("pandas", "pyarrow", "matplotlib", "seaborn", "rliable")
COMMANDS = ("tyro", "rich", "psutil", "imageio", "tensorboardx", "submitit")
STACK = (*LEARNER, *SIMULATOR, *ANALYSIS, *COMMANDS)
OPTIONAL = ("torch", "omnisafe", "jax-cuda12-plugin")
GL_PACKAGES = {"osmesa": "libosmesa6", "egl": "libegl1 libgl1-mesa-dri"}  # Debian and Ubuntu
MIN_DISK_GB = 10.0  # a run's checkpoints with vision replay need about this much
MIN_MEMORY_GB = 4.0  # JAX, four simulators and a small replay buffer

_LIST_DEVICES = (
    "import json, jax; print(json.dumps({'backend': jax.default_backend(), "
    "'devices': [d.platform + ': ' + d.device_kind for d in jax.devices()]}))"
)
# A red ball on black.
_SCENE = """
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><camera name='above' pos='0 0 1'/>"
    "<geom type='sphere' size='.1' rgba='1 0 0 1'/></worldbody></mujoco>"
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
"""
# Renders with the backend that the suite would choose; prints what chose it, and its name.
_RENDER_AS_CHOSEN = f"""
import os
from benchmarks.envs.gl import deciding
print(deciding(os.environ) or "the suite")
from benchmarks.envs.cameras import Renderer, mujoco
print(os.environ.get("MUJOCO_GL") or "glfw", flush=True)
{_SCENE}
image = Renderer(model, 64, 64).named(model, data, "above", 64, 64)
assert image.max() > 100, "the picture is blank"
os._exit(0)
"""
# An image with a bright and a dark part proves that the backend rendered it.
_RENDER = f"""
import os
import mujoco
{_SCENE}
renderer = mujoco.Renderer(model, 64, 64)
renderer.update_scene(data)
image = renderer.render()
assert image.shape == (64, 64, 3) and image.max() > 100 and image.min() < 50, "the picture is blank"
os._exit(0)  # the picture is there; some drivers crash while they free the context
"""


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the report. `fix` is a shell command, empty where there is nothing to do."""

    name: str
    status: Status
    detail: str
    required: bool = False
    fix: str = ""

    @property
    def broken(self) -> bool:
        """Whether something required is missing."""
        return self.required and self.status == "missing"


def pins(lock: Path = ROOT / "requirements" / "base.txt") -> dict[str, str]:
    """Versions in the lock file by package; none for a suite without its checkout."""
    if not lock.is_file():
        return {}
    return dict(line.split("==", 1) for line in lock.read_text(encoding="utf-8").split())


def lower_bounds(project: Path = ROOT / "pyproject.toml") -> dict[str, str]:
    """Lowest versions of what the learner imports; none for a suite without its checkout."""
    if not project.is_file():
        return {}
    listed = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return dict(line.split(">=", 1) for line in listed if ">=" in line)


def check_python(simulates_elsewhere: bool = False) -> Check:
    """Check for Python 3.11: MuJoCo 2.3.3, required by Safety-Gymnasium 1.0.0, has no newer builds.

    If environments run under another interpreter, this one may be newer.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    if simulates_elsewhere:
        enough = sys.version_info >= (3, 11)
        return Check("python", "ok" if enough else "missing", f"{version} (3.11 or newer)", True)
    status = "ok" if sys.version_info[:2] == (3, 11) else "missing"
    fix = "apt-get install python3.11 python3.11-venv && make clean setup"
    return Check("python", status, f"{version} (3.11 wanted)", True, fix)


def check_bytecode() -> Check:
    """Check that Python keeps compiled modules, so that a process starts without compiling them."""
    if not sys.dont_write_bytecode:
        return Check("bytecode", "ok", "kept between starts")
    detail = "not kept: every start compiles 2,000 modules again"
    return Check("bytecode", "warn", detail, fix="unset PYTHONDONTWRITEBYTECODE")


def check_learner_package(name: str, least: dict[str, str], required: bool = True) -> Check:
    """Check that a package is present and recent enough, in an interpreter for the learner only."""
    bound = least.get(name)
    fix = f"{sys.executable} -m pip install '{name}{f'>={bound}' if bound else ''}'"
    version = installed_version(name)
    if version is None:
        return Check(name, "missing", "not installed", required, fix)
    if bound and _numbers(version) < _numbers(bound):
        return Check(name, "missing", f"{version} ({bound} or newer wanted)", required, fix)
    return Check(name, "ok", version, required)


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: 0.11.2.dev1 is (0, 11, 2)."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[^\d.]", version)[0]))


def check_package(name: str, wanted: dict[str, str]) -> Check:
    """Check that a package of the stack is present, in the version of the lock file."""
    pinned = wanted.get(name)
    fix = f".venv/bin/python -m pip install --no-deps {name}=={pinned}" if pinned else "make setup"
    version = installed_version(name)
    if version is None:
        return Check(name, "missing", "not installed", True, fix)
    if pinned and version != pinned:
        return Check(name, "warn", f"{version}, but the lock file has {pinned}", True, fix)
    return Check(name, "ok", version, True)


def check_optional_package(name: str) -> Check:
    """Report a package that only some uses need; it may be absent."""
    target = "make cuda" if name.startswith("jax-cuda") else "make omnisafe"
    return Check(name, "ok", installed_version(name) or f"not installed (optional: {target})")


def check_jax(timeout_s: float, require_gpu: bool) -> Check:
    """Check JAX's devices, and whether a GPU of this machine is unused."""
    code, out, error = _try(_LIST_DEVICES, timeout_s, {})
    if code != 0:
        asked = os.environ.get("JAX_PLATFORMS")
        fix = "unset JAX_PLATFORMS" if asked else "make setup"
        why = last_line(error)
        if why == "AssertionError":  # JAX's only message for a platform without its plugin
            why = "no plugin for it is installed"
        detail = f"JAX_PLATFORMS={asked}: {why}" if asked else why
        return Check("JAX devices", "missing", detail, True, fix)
    seen = json.loads(last_line(out))
    detail = ", ".join(seen["devices"])
    if seen["backend"] != "cpu":
        return Check("JAX devices", "ok", detail)
    if require_gpu:
        return Check("JAX devices", "missing", f"{detail}; no GPU is seen", True, "make cuda")
    if shutil.which("nvidia-smi"):
        unused = f"{detail}; the NVIDIA GPU of this machine is not used"
        return Check("JAX devices", "warn", unused, fix="make cuda")
    return Check("JAX devices", "ok", detail)


def check_chosen_rendering(timeout_s: float, require_gl: bool, python: str = "") -> Check:
    """Check rendering for observation `vision` and videos with the current environment variables.

    Required if one of them selects a backend, or with `require_gl`.
    """
    code, out, error = _try(_RENDER_AS_CHOSEN, timeout_s, {"PYTHONPATH": str(ROOT)}, python)
    chooser, backend = (*out.splitlines(), "?", "?")[:2]
    if code == 0:
        return Check("rendering", "ok", f"{backend}, chosen by {chooser}")
    asked = "=" in chooser
    why = last_line(error).removeprefix("benchmarks.envs.errors.MissingGLError: ")
    fix = f"unset {chooser.partition('=')[0]}" if asked else ""
    return Check("rendering", "missing", why.partition(". ")[0], asked or require_gl, fix)


def check_rendering(timeout_s: float, require_gl: bool, python: str = "") -> list[Check]:
    """One check per backend. With `require_gl` they are required unless another backend works.

    `python` is the interpreter of environments, if it is another one.
    """
    results = {backend: try_rendering(backend, timeout_s, python) for backend in GL_PACKAGES}
    usable = any(error == "" for error in results.values())
    checks = []
    for backend, error in results.items():
        name = f"OpenGL {backend}"
        if error == "":
            checks.append(Check(name, "ok", "renders"))
        elif usable:
            checks.append(Check(name, "warn", f"{error} (another backend works)"))
        else:
            detail = f"{error} (needed for vision and videos)"
            install = f"apt-get install -y {GL_PACKAGES[backend]} && export MUJOCO_GL={backend}"
            checks.append(Check(name, "missing", detail, require_gl, install))
    return checks


def try_rendering(backend: str, timeout_s: float, python: str = "") -> str:
    """Render one 64x64 image in a separate process. Returns "" or why it failed."""
    code, _, error = _try(_RENDER, timeout_s, {"MUJOCO_GL": backend}, python)
    return "" if code == 0 else last_line(error) or f"exit status {code}"


def check_ffmpeg() -> Check:
    """Check for ffmpeg, for videos: the system's, or that of imageio-ffmpeg."""
    system = shutil.which("ffmpeg")
    if system:
        return Check("ffmpeg", "ok", system)
    if version := installed_version("imageio-ffmpeg"):
        return Check("ffmpeg", "ok", f"from imageio-ffmpeg {version}")
    return Check("ffmpeg", "missing", "needed for videos", False, "apt-get install -y ffmpeg")


def check_slurm(timeout_s: float = 10.0) -> Check:
    """Check for Slurm's commands, and whether a controller answers.

    Without either, runs can still be started on this machine.
    """
    needless = "only needed to submit to a cluster"
    places = {name: shutil.which(name) for name in ("sbatch", "squeue", "scancel", "scontrol")}
    absent = [name for name, place in places.items() if place is None]
    if absent:
        return Check("Slurm", "ok", f"none ({', '.join(absent)} not found); {needless}")
    commands = f"commands in {Path(str(places['sbatch'])).parent}"
    try:
        ping = subprocess.run(
            ["scontrol", "ping"], capture_output=True, text=True, timeout=timeout_s, check=False
        )
        said = [line.strip() for line in (ping.stdout or ping.stderr).splitlines() if line.strip()]
    except subprocess.TimeoutExpired:
        said = []
    for line in said:
        if line.endswith("is UP"):
            return Check("Slurm", "ok", f"{commands}; {line}")
    down = [line for line in said if "is DOWN" in line] or said[-1:]
    why = down[0] if down else f"nothing within {timeout_s:g} s"
    return Check("Slurm", "ok", f"{commands}, but no controller answers ({why}); {needless}")


def check_machine(out: Path) -> list[Check]:
    """Report cores, memory, and free disk space at the folder that will hold runs."""
    out = out.absolute()
    existing = next(path for path in (out, *out.parents) if os.path.exists(path))
    disk_gb = shutil.disk_usage(existing).free / 1e9
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    memory = f"{memory_gb:.1f} GB ({MIN_MEMORY_GB:.0f} GB wanted)"
    disk = f"{disk_gb:.0f} GB at {existing} ({MIN_DISK_GB:.0f} GB wanted)"
    return [
        Check("cores", "ok", f"{len(os.sched_getaffinity(0))} usable"),
        Check("memory", "ok" if memory_gb >= MIN_MEMORY_GB else "warn", memory),
        Check("free disk", "ok" if disk_gb >= MIN_DISK_GB else "warn", disk),
    ]


def _try(
    code: str, timeout_s: float, environment: dict[str, str], python: str = ""
) -> tuple[int, str, str]:
    """Run code in a separate process, under this interpreter or that of environments (`python`).

    Returns exit status, stdout and stderr.
    """
    inherited = dict(os.environ)
    if python:
        from benchmarks.envs.worker import worker_environ

        inherited = worker_environ(python)
    # MuJoCo sets it on import; inherited, it would make the other backends fail.
    inherited.pop("PYOPENGL_PLATFORM", None)
    try:
        done = subprocess.run(
            [python or sys.executable, "-c", code],
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {timeout_s:.0f} s"
    return done.returncode, done.stdout, done.stderr


def last_line(text: str) -> str:
    """The last line that is not blank."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
