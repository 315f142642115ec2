"""Locks between processes, for work that one of them does while the others wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pensieve.models.files.progress import Progress


@contextmanager
def exclusive(lock_file: Path, work: str, progress: Progress) -> Iterator[None]:
    """Hold a lock, which the operating system releases if the process dies. While another process holds it, print that
    it is doing the `work` (such as `preparing x`) and wait.
    """
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.print(f"Another process is {work}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
