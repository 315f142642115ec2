"""Threads that are kept when their work is done, for the next that needs one.

MLX makes a thread of its own for each stream, and streams belong to the thread that made them; none of them ends with
it, nor by `mlx.core.clear_streams` (seen with mlx 0.32.4: two threads and over a megabyte for each model that had been
loaded and unloaded). A thread that is used again uses its streams again.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Work:
    run: Callable[[], None]
    has_ended: threading.Event = field(default_factory=threading.Event)


_Mailbox = queue.SimpleQueue[_Work]

_idle: list[_Mailbox] = []
"""Of the threads that wait for work. The last to become idle is the first to be used again."""
_lock = threading.Lock()


class PooledThread:
    """As `threading.Thread`: one run of `target`, from `start` on; `join` returns when it has ended.

    It does not keep the process from ending.
    """

    def __init__(self, target: Callable[[], None], *, name: str) -> None:
        self._work = _Work(target)
        self._name = name

    def start(self) -> None:
        with _lock:
            mailbox = _idle.pop() if _idle else None
        if mailbox is None:
            mailbox = queue.SimpleQueue()
            threading.Thread(target=_work_for_ever, args=(mailbox,), name=self._name, daemon=True).start()
        mailbox.put(self._work)

    def join(self) -> None:
        self._work.has_ended.wait()


def _work_for_ever(mailbox: _Mailbox) -> None:
    while True:
        _end(mailbox, mailbox.get())


def _end(mailbox: _Mailbox, work: _Work) -> None:
    """Run it. Nothing is held of it when this returns, and whoever joins finds the thread idle."""
    try:
        work.run()
    except BaseException:
        log.exception("a thread's work ended with an error")
    with _lock:
        _idle.append(mailbox)
    work.has_ended.set()
