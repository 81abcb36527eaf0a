"""Keep the C library's allocator from returning memory to the kernel after every call of a compiled
function.

XLA on CPU allocates its scratch memory anew at each call. By default glibc maps and unmaps such
blocks, and the kernel zeroes the pages each time: a quarter of the time of a small update. With one
arena, no mapped blocks and no trimming, the same pages are reused.
"""

from __future__ import annotations

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # glibc's malloc.h
SWITCH = "SAFEDREAMER_KEEP_MEMORY"


def keep_memory() -> bool:
    """Configure the allocator; call before JAX starts its threads.

    Returns whether the C library is glibc and accepted the settings; SWITCH=0 disables this.
    """
    if os.environ.get(SWITCH, "1") == "0":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # not glibc
        return False
    # A trim threshold of -1 disables trimming; only all three together have the effect.
    return all([mallopt(M_ARENA_MAX, 1), mallopt(M_MMAP_MAX, 0), mallopt(M_TRIM_THRESHOLD, -1)])
