"""Size and ports of a private cluster."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

from benchmarks.runs.errors import BadInput

Auth: TypeAlias = Literal["auto", "munge", "none"]


@dataclasses.dataclass(frozen=True)
class Settings:
    """A cluster on one host.

    Cores, memory and GPUs are those declared to Slurm, not those of the host.
    """

    nodes: int = 3
    """Nodes, named n1, n2, ..."""
    cpus: int = 2
    """Cores of each node."""
    memory_mb: int = 8000
    """Memory of each node, in MiB; jobs that ask for none get their cores' share of it."""
    gpus: int = 0
    """GPUs of each node, which exist for Slurm only. They need root."""
    port: int = 0
    """First of 1 + nodes TCP ports, at the address that the host's name stands for; 0 finds free
    ones.
    """
    auth: Auth = "auto"
    """How daemons and commands know each other: a munged of the cluster's own, nothing, or munge
    where it is installed.
    """
    slurmd_timeout_s: int = 20
    """Seconds after which a silent node counts as down."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("nodes", 1, 32),
            ("cpus", 1, 1024),
            ("memory_mb", 1, 10**9),
            ("gpus", 0, 16),
        ):
            if not low <= getattr(self, name) <= high:
                raise BadInput(f"{name}={getattr(self, name)} must lie in {low}..{high}")
        if self.port and not 1024 <= self.port <= 65535 - self.nodes:
            raise BadInput(f"port={self.port} must be 0 or lie in 1024..{65535 - self.nodes}")
        if self.slurmd_timeout_s < 1:
            raise BadInput(f"slurmd_timeout_s={self.slurmd_timeout_s} must be at least 1")

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(f"n{i}" for i in range(1, self.nodes + 1))

    def fits(self, asked: Settings) -> bool:
        """Whether a cluster of these settings is what was asked for, where port and authentication
        may be left open.
        """
        port = self.port if asked.port == 0 else asked.port
        auth = self.auth if asked.auth == "auto" else asked.auth
        return self == dataclasses.replace(asked, port=port, auth=auth)
