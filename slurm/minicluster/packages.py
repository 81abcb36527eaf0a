"""Programs that a private cluster needs, and the command that installs them."""

from __future__ import annotations

import os
import shutil

PROGRAMS = ("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo", "slurmctld", "slurmd")
INSTALL = "apt-get install slurmctld slurmd slurm-client munge"
# folders of the daemons, not on an ordinary user's PATH
_ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"


def find(program: str) -> str | None:
    """Path of a program, None if it is not installed."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_ADMINISTRATORS}")


def missing() -> str:
    """The missing programs and the command that installs them, or ""."""
    absent = [program for program in PROGRAMS if find(program) is None]
    return f"no {', '.join(absent)} on this machine; {INSTALL}" if absent else ""
