"""Claims free TCP ports for a cluster, also while other clusters are starting."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from benchmarks.runs.errors import BadInput

# Below Linux's ports for outgoing connections. A range is never shared, so one running daemon
# reserves it all.
FIRST, LAST, RANGE = 20000, 32000, 40


@contextlib.contextmanager
def claim(address: str, count: int, port: int = 0) -> Iterator[int]:
    """The first of `count` consecutive free ports, reserved for this process within the context.

    They start at `port` unless that is 0.

    Raises BadInput if there are none.
    """
    if port:
        if taken := [p for p in range(port, port + count) if not _free(address, p)]:
            raise BadInput(f"port {taken[0]} is in use; choose another --port, or 0 for free ones")
        yield port
        return
    for base in range(FIRST, LAST, RANGE):
        with socket.socket(socket.AF_UNIX) as ours:
            try:
                # abstract socket: same network namespace as the ports, released with this process
                ours.bind(f"\0slurm-minicluster-{base}")
            except OSError:  # another cluster is starting there
                continue
            if all(_free(address, p) for p in range(base, base + RANGE)):
                yield base
                return
    raise BadInput(f"no {RANGE} free ports in a row in {FIRST}..{LAST}; give --port")


def _free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        # like Slurm: only listeners count, not connections in TIME_WAIT
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
