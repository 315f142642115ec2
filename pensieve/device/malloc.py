"""Makes glibc give memory back to the system when it is freed.

glibc raises the size from which it maps an allocation by itself, up to 32 MB, whenever a mapped one is freed. From then
on a model's weights lie in the heaps of the thread that loaded them, which stay resident when the model is unloaded: a
process that loaded a model of 540 MB five times took 1,683 MB instead of 902 MB. A size that is set stays as it is.

glibc also gives threads up to eight heaps per core. Each keeps what was freed in it, such as the many small pieces of a
tokenizer. With two heaps, a server that loaded a tiny model ten times stayed at 320 to 360 MB instead of growing from
384 to 462 MB.

Even so, it returns small pieces only from the end of a heap. In a server under mixed load, 62 of 475 MB were free and
still resident after six minutes, and more after two hours.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

MAPPED_BYTES: Final = 2**20
"""From this size on, an allocation has pages of its own."""
_M_MMAP_THRESHOLD: Final = -3
"""Of glibc's malloc.h."""
MAX_HEAPS: Final = 2
_M_ARENA_MAX: Final = -8
_VARIABLES: Final = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES")


def limit_retained_memory() -> bool:
    """Whether the allocator was set: it is glibc's, and the environment does not set it already. Call it before threads
    start.
    """
    if any(name in os.environ for name in _VARIABLES):
        return False
    process = ctypes.CDLL(None)
    if not hasattr(process, "gnu_get_libc_version") or not hasattr(process, "mallopt"):
        return False
    return bool(process.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES) and process.mallopt(_M_ARENA_MAX, MAX_HEAPS))


def can_return_freed_memory() -> bool:
    """Whether the allocator is glibc's."""
    return hasattr(ctypes.CDLL(None), "malloc_trim")


def return_freed_memory() -> None:
    """Return free pages from within the heaps too. Threads that allocate meanwhile wait for it. Other allocators than
    glibc's do it by themselves.
    """
    if can_return_freed_memory():
        ctypes.CDLL(None).malloc_trim(0)
