"""Threads that are reused, so that loading and unloading models does not leak MLX streams.

MLX ties each stream to the thread that made it and starts a thread of its own for it, which ends neither with that
thread nor by `mlx.core.clear_streams`: with mlx 0.32.4, each model that was loaded and unloaded left two threads and
over a megabyte. A thread that is reused reuses its streams.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Job:
    run: Callable[[], None]
    is_done: threading.Event = field(default_factory=threading.Event)


_Mailbox = queue.SimpleQueue[_Job]

_idle: list[_Mailbox] = []
"""The mailboxes of idle threads. The thread that became idle last is reused first."""
_lock = threading.Lock()


class PooledThread:
    """Runs `target` once, like `threading.Thread`. It does not keep the process alive."""

    def __init__(self, target: Callable[[], None], *, name: str) -> None:
        self._job = _Job(target)
        self._name = name

    def start(self) -> None:
        with _lock:
            mailbox = _idle.pop() if _idle else None
        if mailbox is None:
            mailbox = queue.SimpleQueue()
            threading.Thread(target=_run_jobs, args=(mailbox,), name=self._name, daemon=True).start()
        mailbox.put(self._job)

    def join(self, timeout_seconds: float | None = None) -> bool:
        """Return whether `target` has ended."""
        return self._job.is_done.wait(timeout_seconds)


def _run_jobs(mailbox: _Mailbox) -> None:
    while True:
        _run(mailbox, mailbox.get())


def _run(mailbox: _Mailbox, job: _Job) -> None:
    """Run a job in a frame of its own, so that the thread does not keep it alive. It is idle before `join` returns."""
    try:
        job.run()
    except BaseException:
        log.exception("a pooled thread's target raised an error")
    with _lock:
        _idle.append(mailbox)
    job.is_done.set()
