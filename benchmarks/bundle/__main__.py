"""`python -m benchmarks.bundle FOLDER`: write the bundle (`make bundle`).

Needs pip, and apt-get for Debian's Python 3.11.

FOLDER gets `run`, the command to call, and `bundle.tar.xz`, which `run` unpacks next to itself on
its first call: suite/ (the code), packages/ (what environments need, for Python 3.11), python/
(Debian's Python 3.11, started by python3.11), learner/ (pure Python packages of the command line
that a machine with JAX may lack).
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.cli import doctor_checks
from benchmarks.cli.common import program
from benchmarks.runs.errors import BadInput
from benchmarks.runs.places import check_folder

ROOT = Path(__file__).resolve().parents[2]
SUITE = ("agents", "analysis", "baselines", "benchmarks", "slurm", "pyproject.toml", "requirements")
WRITTEN = ("bundle.tar.xz", "run", "unpacked")  # the last by `run`
LARGEST_MIB = 60
DEBIAN = (
    "python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libexpat1 libffi8 libuuid1 "
    "libbz2-1.0 liblzma5 zlib1g libssl3"
).split()
# the machine has JAX, flax, optax, NumPy and what they need
LEARNER = ("tyro", "docstring-parser", "typeguard", "tensorboardx")
UNUSED = ("tests __pycache__ gymnasium_robotics/envs/assets safety_gymnasium/tests pygame").split()


@dataclasses.dataclass(frozen=True)
class BundleOptions:
    """Write the suite, what its environments need, and Debian's Python 3.11 into one folder."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Output folder; an older bundle there is replaced."""


def pins(names: tuple[str, ...]) -> list[str]:
    """`name==version` of these packages from the lock file; only the name if it is not locked."""
    locked = doctor_checks.pins()
    return [f"{name}=={locked[name]}" if name in locked else name for name in names]


def install(packages: list[str], target: Path) -> None:
    """Install packages without their dependencies into a folder."""
    options = "--quiet --no-deps --no-compile --disable-pip-version-check".split()
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target)]
    subprocess.run([*command, *packages], check=True)


def debian_python(target: Path) -> None:
    """Unpack Debian's Python 3.11 without installing it."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["apt-get", "download", "-qq", *DEBIAN], cwd=folder, check=True)
        for package in sorted(Path(folder).glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(package), str(target)], check=True)
    for part in ("usr/share", "usr/lib/python3.11/ensurepip", "usr/lib/python3.11/test"):
        shutil.rmtree(target / part, ignore_errors=True)


def trim(folder: Path) -> None:
    """Remove files that no environment needs."""
    for unused in UNUSED:
        for path in [*folder.glob(unused), *folder.glob(f"**/{unused}")]:
            shutil.rmtree(path, ignore_errors=True)


def copy_suite(target: Path) -> None:
    """Copy the files of the suite that Git tracks."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", *SUITE], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for name in filter(None, listing.stdout.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def clear(folder: Path) -> None:
    """Remove an earlier bundle. Raises BadInput if the folder holds anything else."""
    if not folder.is_dir():
        return
    if strange := sorted({path.name for path in folder.iterdir()} - set(WRITTEN)):
        raise BadInput(
            f"{folder} holds {', '.join(strange[:3])}, no part of a bundle: choose another FOLDER"
        )
    shutil.rmtree(folder)


def write(folder: Path) -> int:
    """Write the bundle; returns its size in bytes."""
    here = Path(__file__).parent
    clear(folder)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        copy_suite(root / "suite")
        locked = (ROOT / "requirements" / "envs.txt").read_text().split()
        install(locked, root / "packages")
        trim(root / "packages")
        install(pins(LEARNER), root / "learner")
        debian_python(root / "python")
        shutil.copy2(here / "python3.11.sh", root / "python3.11")
        (root / "python3.11").chmod(0o755)
        with tarfile.open(folder / "bundle.tar.xz", "w:xz", preset=6) as archive:
            for part in sorted(root.iterdir()):
                archive.add(part, part.name)
    shutil.copy2(here / "run.sh", folder / "run")
    (folder / "run").chmod(0o755)
    return sum(path.stat().st_size for path in folder.iterdir())


def main(options: BundleOptions) -> int:
    """Write the bundle and print its size; returns 1 if it exceeds LARGEST_MIB."""
    check_folder(options.folder, "FOLDER")
    size = write(options.folder) / 2**20
    print(f"{options.folder}: {size:.1f} MiB; on the target: {options.folder.name}/run doctor")
    if size > LARGEST_MIB:
        print(f"larger than {LARGEST_MIB} MiB", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(program(BundleOptions, main, "python -m benchmarks.bundle", __doc__))
