"""The programs that a private cluster consists of, and the Debian packages they come from."""

from __future__ import annotations

import os
import shutil

PACKAGES = {
    **dict.fromkeys(("sbatch", "srun", "squeue", "scancel", "scontrol", "sinfo"), "slurm-client"),
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
}
INSTALL = "apt-get install slurmctld slurmd slurm-client munge"
# daemons lie there, where an ordinary user's PATH does not look
_ADMINISTRATORS = "/usr/local/sbin:/usr/sbin:/sbin"


def find(program: str) -> str | None:
    """The program's path, None where it is not installed."""
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:{_ADMINISTRATORS}")


def missing() -> str:
    """Which programs are absent and the command that brings them, or ""."""
    absent = [program for program in PACKAGES if find(program) is None]
    return f"no {', '.join(absent)} on this machine; {INSTALL}" if absent else ""
