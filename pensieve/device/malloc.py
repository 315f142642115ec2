"""Makes glibc give large arrays back to the system when they are freed.

glibc raises the size from which it maps an allocation by itself, up to 32 MB, whenever a mapped one is freed. From then
on a model's weights lie in the heaps of the thread that loaded them, which stay resident when the model is unloaded: a
process that loaded a model of 540 MB five times took 1,683 MB instead of 902 MB. A size that is set stays as it is.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

MAPPED_BYTES: Final = 2**20
"""From this size on, an allocation has pages of its own."""
_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's malloc.h."""
_VARIABLES: Final = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def map_large_allocations() -> bool:
    """Whether the allocator was set: it is glibc's, and the environment does not set it already."""
    if any(name in os.environ for name in _VARIABLES):
        return False
    process = ctypes.CDLL(None)
    if not hasattr(process, "gnu_get_libc_version") or not hasattr(process, "mallopt"):
        return False
    return bool(process.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES))
