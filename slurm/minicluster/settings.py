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
    """Memory of each node, in MiB; jobs that request none get their cores' share of it."""
    gpus: int = 0
    """GPUs of each node, which exist for Slurm only. They need root."""
    port: int = 0
    """First of 1 + nodes TCP ports, at the address of the host's name; 0 finds free ones."""
    auth: Auth = "auto"
    """Authentication of daemons and commands: the cluster's own munged, none, or munge where it is
    installed (auto).
    """
    slurmd_timeout_s: int = 20
    """Seconds without a response after which a node counts as down."""

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
        """Whether a cluster with these settings meets the request, which may leave port and
        authentication open.
        """
        port = self.port if asked.port == 0 else asked.port
        auth = self.auth if asked.auth == "auto" else asked.auth
        return self == dataclasses.replace(asked, port=port, auth=auth)
