"""What this machine has, what it lacks, and the command that fixes it: `safedreamer doctor`.

Anything that could crash or claim a device (JAX, OpenGL) is tried in a process of its own.
Importing this file loads neither.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Literal

Status = Literal["ok", "warn", "missing"]

ROOT = Path(__file__).resolve().parents[2]
STACK = (
    *("numpy", "jax", "jaxlib", "flax", "optax", "chex"),
    *("gymnasium", "mujoco", "safety-gymnasium", "pygame"),
    *(
        "pandas",
        "pyarrow",
        "matplotlib",
        "seaborn",
        "rliable",
        "tyro",
        "rich",
        "psutil",
        "imageio",
        "tensorboardx",
        "submitit",
    ),
)
OPTIONAL = ("torch", "omnisafe", "jax-cuda12-plugin")
GL_PACKAGES = {"osmesa": "libosmesa6", "egl": "libegl1 libgl1-mesa-dri"}  # Debian and Ubuntu
MIN_DISK_GB = 10.0  # a run's checkpoints with vision replay need about this much
MIN_MEMORY_GB = 4.0  # JAX, four simulators and a small replay buffer

_LIST_DEVICES = (
    "import json, jax; print(json.dumps({'backend': jax.default_backend(), "
    "'devices': [d.platform + ': ' + d.device_kind for d in jax.devices()]}))"
)
# What the suite would draw with, chosen by its own code: who chose, the backend, and a picture.
_RENDER_AS_CHOSEN = """
import os
from benchmarks.envs.gl import deciding
print(deciding(os.environ) or "the suite")
from benchmarks.envs.cameras import Renderer, mujoco
print(os.environ.get("MUJOCO_GL") or "glfw", flush=True)
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><camera name='above' pos='0 0 1'/>"
    "<geom type='sphere' size='.1' rgba='1 0 0 1'/></worldbody></mujoco>"
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
image = Renderer(model, 64, 64).named(model, data, "above", 64, 64)
assert image.max() > 100, "the picture is blank"
os._exit(0)
"""
# A red ball on black: a picture with a bright and a dark part proves that the backend drew it.
_RENDER = """
import mujoco
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/>"
    "<geom type='sphere' size='.1' rgba='1 0 0 1'/></worldbody></mujoco>"
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = mujoco.Renderer(model, 64, 64)
renderer.update_scene(data)
image = renderer.render()
assert image.shape == (64, 64, 3) and image.max() > 100 and image.min() < 50, "the picture is blank"
import os
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


@dataclasses.dataclass(frozen=True)
class DoctorConfig:
    """What the doctor looks at."""

    out: Path = Path()  # folder that will hold runs; its free disk space is shown
    require_gl: bool = False  # rendering must work (observations `vision`, videos)
    require_gpu: bool = False  # JAX must see a GPU or TPU
    timeout_s: float = 120.0  # seconds that a trial in a process of its own may take

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s={self.timeout_s} must be positive")


def report(config: DoctorConfig = DoctorConfig()) -> list[Check]:
    """All checks, in the order they are printed."""
    return [
        check_python(),
        *(check_package(name, pins()) for name in STACK),
        *(check_optional_package(name) for name in OPTIONAL),
        check_jax(config.timeout_s, config.require_gpu),
        check_chosen_rendering(config.timeout_s, config.require_gl),
        *check_rendering(config.timeout_s, config.require_gl),
        check_ffmpeg(),
        check_slurm(),
        *check_machine(config.out),
    ]


def run_doctor(config: DoctorConfig) -> int:
    """Print the report. Returns 1 if something required is missing, else 0."""
    checks = report(config)
    print(format_report(checks))
    return int(any(check.required and check.status == "missing" for check in checks))


def format_report(checks: list[Check]) -> str:
    """The report as text: a line per check, then the commands that mend what is not in order."""
    width = max(len(check.name) for check in checks)
    lines = [f"{check.status:<8}{check.name:<{width}}  {check.detail}" for check in checks]
    fixes: dict[str, list[str]] = {}
    for check in checks:
        if check.status != "ok" and check.fix:
            fixes.setdefault(check.fix, []).append(check.name)
    if fixes:
        lines += ["", "To mend:"]
        lines += [f"  {command}    # {', '.join(names)}" for command, names in fixes.items()]
    broken = [check.name for check in checks if check.required and check.status == "missing"]
    lines += [
        "",
        f"Required and missing: {', '.join(broken)}" if broken else "Everything required is there.",
    ]
    return "\n".join(lines)


def pins(lock: Path = ROOT / "requirements" / "base.txt") -> dict[str, str]:
    """Version by package of the lock file.

    Empty where the package is installed without its checkout.
    """
    if not lock.is_file():
        return {}
    return dict(line.split("==", 1) for line in lock.read_text(encoding="utf-8").split())


def check_python() -> Check:
    """Python 3.11: MuJoCo 2.3.3, on which Safety-Gymnasium 1.0.0 rests, has no build for a newer
    one.
    """
    version = ".".join(map(str, sys.version_info[:3]))
    fix = "apt-get install python3.11 python3.11-venv && make clean setup"
    return Check(
        "python",
        "ok" if sys.version_info[:2] == (3, 11) else "missing",
        f"{version} (3.11 wanted)",
        True,
        fix,
    )


def check_package(name: str, wanted: dict[str, str]) -> Check:
    """Presence of a package of the stack, and whether it is the version of the lock file."""
    pinned = wanted.get(name)
    fix = f".venv/bin/python -m pip install --no-deps {name}=={pinned}" if pinned else "make setup"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Check(name, "missing", "not installed", True, fix)
    if pinned and version != pinned:
        return Check(name, "warn", f"{version}, but the lock file has {pinned}", True, fix)
    return Check(name, "ok", version, True)


def check_optional_package(name: str) -> Check:
    """A package that only some uses need; its absence is no fault."""
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        target = "make cuda" if name.startswith("jax-cuda") else "make omnisafe"
        return Check(name, "ok", f"not installed (optional: {target})")


def check_jax(timeout_s: float, require_gpu: bool) -> Check:
    """JAX's devices, and whether a GPU of this machine is left unused."""
    code, out, error = _try(_LIST_DEVICES, timeout_s, {})
    if code != 0:
        asked = os.environ.get("JAX_PLATFORMS")
        fix = "unset JAX_PLATFORMS" if asked else "make setup"
        why = _last_line(error)
        if why == "AssertionError":  # all that JAX says of a platform without its plugin
            why = "no plugin for it is installed"
        detail = f"JAX_PLATFORMS={asked}: {why}" if asked else why
        return Check("JAX devices", "missing", detail, True, fix)
    seen = json.loads(_last_line(out))
    detail = ", ".join(seen["devices"])
    if seen["backend"] != "cpu":
        return Check("JAX devices", "ok", detail)
    if require_gpu:
        return Check("JAX devices", "missing", f"{detail}; no GPU is seen", True, "make cuda")
    if shutil.which("nvidia-smi"):
        return Check(
            "JAX devices",
            "warn",
            f"{detail}; the NVIDIA GPU of this machine is not used",
            False,
            "make cuda",
        )
    return Check("JAX devices", "ok", detail)


def check_chosen_rendering(timeout_s: float, require_gl: bool) -> Check:
    """What observation `vision` and videos would draw with as the variables are now.

    Required where one of them asks for a backend, or with `require_gl`.
    """
    code, out, error = _try(_RENDER_AS_CHOSEN, timeout_s, {"PYTHONPATH": str(ROOT)})
    chooser, backend = (*out.splitlines(), "?", "?")[:2]
    if code == 0:
        return Check("rendering", "ok", f"{backend}, chosen by {chooser}")
    asked = "=" in chooser
    why = _last_line(error).removeprefix("benchmarks.envs.errors.MissingGLError: ")
    fix = f"unset {chooser.partition('=')[0]}" if asked else ""
    return Check("rendering", "missing", why.partition(". ")[0], asked or require_gl, fix)


def check_rendering(timeout_s: float, require_gl: bool) -> list[Check]:
    """One check per backend. With `require_gl` they are required unless another backend draws."""
    results = {backend: try_rendering(backend, timeout_s) for backend in GL_PACKAGES}
    usable = any(error == "" for error in results.values())
    checks = []
    for backend, error in results.items():
        install = f"apt-get install -y {GL_PACKAGES[backend]} && export MUJOCO_GL={backend}"
        if error == "":
            checks.append(Check(f"OpenGL {backend}", "ok", "renders"))
        elif usable:
            checks.append(Check(f"OpenGL {backend}", "warn", f"{error} (another backend works)"))
        else:
            checks.append(
                Check(
                    f"OpenGL {backend}",
                    "missing",
                    f"{error} (needed for vision and videos)",
                    require_gl,
                    install,
                )
            )
    return checks


def try_rendering(backend: str, timeout_s: float) -> str:
    """Draw one 64x64 picture in a process of its own. Returns "" or why it failed."""
    code, _, error = _try(_RENDER, timeout_s, {"MUJOCO_GL": backend})
    return "" if code == 0 else _last_line(error) or f"exit status {code}"


def check_ffmpeg() -> Check:
    """ffmpeg, for videos: the system's, or the one that imageio-ffmpeg brings."""
    system = shutil.which("ffmpeg")
    if system:
        return Check("ffmpeg", "ok", system)
    try:
        return Check("ffmpeg", "ok", f"from imageio-ffmpeg {metadata.version('imageio-ffmpeg')}")
    except metadata.PackageNotFoundError:
        return Check("ffmpeg", "missing", "needed for videos", False, "apt-get install -y ffmpeg")


def check_slurm(timeout_s: float = 10.0) -> Check:
    """Slurm's commands and whether a controller answers.

    Without either, runs can still be started on this machine.
    """
    absent = [
        name for name in ("sbatch", "squeue", "scancel", "scontrol") if shutil.which(name) is None
    ]
    if absent:
        return Check(
            "Slurm",
            "ok",
            f"none ({', '.join(absent)} not found); only needed to submit to a cluster",
        )
    commands = f"commands in {Path(str(shutil.which('sbatch'))).parent}"
    try:
        ping = subprocess.run(
            ["scontrol", "ping"], capture_output=True, text=True, timeout=timeout_s, check=False
        )
        said = [line.strip() for line in (ping.stdout or ping.stderr).splitlines() if line.strip()]
    except subprocess.TimeoutExpired:
        said = []
    up = [line for line in said if line.endswith("is UP")]
    if up:
        return Check("Slurm", "ok", f"{commands}; {up[0]}")
    why = next(
        (line for line in said if "is DOWN" in line),
        said[-1] if said else f"nothing within {timeout_s:g} s",
    )
    return Check(
        "Slurm",
        "ok",
        f"{commands}, but no controller answers ({why}); only needed to submit to a cluster",
    )


def check_machine(out: Path) -> list[Check]:
    """Cores, memory and the free disk of the folder that will hold runs."""
    existing = next(
        path for path in (out.absolute(), *out.absolute().parents) if os.path.exists(path)
    )
    disk_gb = shutil.disk_usage(existing).free / 1e9
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    cores = len(os.sched_getaffinity(0))
    return [
        Check("cores", "ok", f"{cores} usable"),
        Check(
            "memory",
            "ok" if memory_gb >= MIN_MEMORY_GB else "warn",
            f"{memory_gb:.1f} GB ({MIN_MEMORY_GB:.0f} GB wanted)",
        ),
        Check(
            "free disk",
            "ok" if disk_gb >= MIN_DISK_GB else "warn",
            f"{disk_gb:.0f} GB at {existing} ({MIN_DISK_GB:.0f} GB wanted)",
        ),
    ]


def _try(code: str, timeout_s: float, environment: dict[str, str]) -> tuple[int, str, str]:
    """Run Python code in a process of its own: exit status, stdout, stderr."""
    # MuJoCo sets PYOPENGL_PLATFORM where it is imported; inherited, it would make the other
    # backends fail.
    inherited = {name: value for name, value in os.environ.items() if name != "PYOPENGL_PLATFORM"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 124, "", f"no answer within {timeout_s:.0f} s"
    return done.returncode, done.stdout, done.stderr


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
