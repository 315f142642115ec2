"""Large arrays are given back to the system when they are freed, on glibc."""

from __future__ import annotations

import ctypes

import pytest

from tests.device.python_process import run_python

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another allocator than glibc's")

NUM_MAPPED = """
import ctypes

from pensieve.device.malloc import map_large_allocations


class MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("a", "b", "c", "hblks", "e", "f", "g", "h", "i", "j")]


libc = ctypes.CDLL(None)
libc.malloc.restype, libc.mallinfo2.restype = ctypes.c_void_p, MallInfo
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
print(map_large_allocations())
libc.free(libc.malloc(30 * 2**20))  # glibc maps only larger ones from now on, unless it was set
before = libc.mallinfo2().hblks
libc.malloc(8 * 2**20)
print(libc.mallinfo2().hblks - before)
"""


def test_an_allocation_is_mapped_after_a_larger_one_was_freed() -> None:
    assert run_python(NUM_MAPPED).split() == ["True", "1"]


def test_a_threshold_of_the_environment_is_kept() -> None:
    assert run_python(NUM_MAPPED, MALLOC_MMAP_THRESHOLD_=str(2**30)).split() == ["False", "0"]
