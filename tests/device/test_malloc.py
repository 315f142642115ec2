"""Large arrays are given back to the system when they are freed, on glibc."""

from __future__ import annotations

import ctypes

import pytest

from tests.device.python_process import run_python

pytestmark = pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another allocator than glibc's")

NUM_MAPPED = """
import ctypes

from pensieve.device.malloc import limit_retained_memory


class MallInfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("a", "b", "c", "hblks", "e", "f", "g", "h", "i", "j")]


libc = ctypes.CDLL(None)
libc.malloc.restype, libc.mallinfo2.restype = ctypes.c_void_p, MallInfo
libc.malloc.argtypes, libc.free.argtypes = [ctypes.c_size_t], [ctypes.c_void_p]
print(limit_retained_memory())
libc.free(libc.malloc(30 * 2**20))  # glibc maps only larger ones from now on, unless it was set
before = libc.mallinfo2().hblks
libc.malloc(8 * 2**20)
print(libc.mallinfo2().hblks - before)
"""


def test_an_allocation_is_mapped_after_a_larger_one_was_freed() -> None:
    assert run_python(NUM_MAPPED).split() == ["True", "1"]


def test_a_threshold_of_the_environment_is_kept() -> None:
    assert run_python(NUM_MAPPED, MALLOC_MMAP_THRESHOLD_=str(2**30)).split() == ["False", "0"]


NUM_HEAPS = """
import ctypes
import threading

from pensieve.device.malloc import limit_retained_memory

libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
limit_retained_memory()
started = threading.Barrier(17)


def work():
    libc.malloc(1000)
    started.wait()


threads = [threading.Thread(target=work) for _ in range(16)]
for thread in threads:
    thread.start()
started.wait()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


def test_sixteen_threads_share_two_heaps() -> None:
    assert run_python(NUM_HEAPS).count("<heap nr=") == 2
    assert run_python(NUM_HEAPS, MALLOC_ARENA_MAX="5").count("<heap nr=") == 5


RESIDENT = """
import asyncio
import os
import time

import psutil

from pensieve.cli.serve.freed_memory import return_freed_memory

began = time.monotonic()
idle_seconds, interval_seconds = {
    "running": (lambda: None, 0.01),
    "just ended": (lambda: 0.02, 3600),
    "long unused": (lambda: time.monotonic() - began, 0.01),
}[os.environ["CASE"]]


def resident():
    return psutil.Process().memory_info().rss


async def play():
    pieces = [bytes(1000) for _ in range(100_000)]
    full = resident()
    kept = pieces[::50]  # all over the heap, whose end stays in use
    del pieces
    freed = resident()
    task = asyncio.create_task(return_freed_memory(idle_seconds, after_seconds=0.01, interval_seconds=interval_seconds))
    ends_at = time.monotonic() + (0.2 if os.environ["CASE"] == "long unused" else 300)
    while resident() > full - 50_000_000 and time.monotonic() < ends_at:
        await asyncio.sleep(0.01)
    task.cancel()
    print(freed > full - 50_000_000, resident() <= full - 50_000_000, len(kept))


asyncio.run(play())
"""


@pytest.mark.parametrize(("case", "is_returned"), [("running", True), ("just ended", True), ("long unused", False)])
def test_freed_pieces_between_others_are_returned_after_requests(case: str, *, is_returned: bool) -> None:
    assert run_python(RESIDENT, CASE=case).split() == ["True", str(is_returned), "2000"]
