"""The mailbox of the MLX thread: functions that other threads want it to run between two steps."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, TypeVar

from pensieve.device.device import Backend

R = TypeVar("R")

log = logging.getLogger(__name__)

ARRIVAL_SECONDS: Final = 0.03
"""The longest an idle thread waits for requests being tokenised, so that one pass can prefill them together."""
PAUSE_SECONDS: Final[Mapping[Backend, float]] = {"cpu": 0.005, "metal": 0.0, "cuda": 0.0}
"""How long an idle thread waits for another request to start arriving.

The event loop needs about this long per request, and a CPU a hundred times longer for a separate prefill pass. Metal
was not measured; on an H200 the pause would show in the time to first token.
"""


class Mailbox:
    """`drain` belongs to the MLX thread and `arriving` to one other thread; the rest may be called from any thread."""

    def __init__(self, pause_seconds: float = 0.0) -> None:
        self._pause_seconds = pause_seconds
        self._functions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._num_arriving = 0

    def put(self, function: Callable[[], None]) -> None:
        self._functions.put(function)

    def wake(self) -> None:
        """Have an idle thread look at its tickets again: one of them has changed."""
        self.put(lambda: None)

    def call(self, function: Callable[[], R]) -> Future[R]:
        """Run `function` on the MLX thread, between two steps."""
        future: Future[R] = Future()

        def run() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self.put(run)
        return future

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """A request is being prepared, and will probably be put into the mailbox when the block ends."""
        self._num_arriving += 1
        try:
            yield
        finally:
            self._num_arriving -= 1

    def drain(self, *, idle: bool) -> None:
        """Run everything that has arrived. If `idle`, wait for it first, and for what arrives along with it.

        An exception in one function does not affect the others.
        """
        ends_at = 0.0
        if idle:
            _run(self._functions.get())
            ends_at = time.monotonic() + ARRIVAL_SECONDS
        while True:
            remaining = ends_at - time.monotonic()
            timeout = remaining if self._num_arriving else min(remaining, self._pause_seconds)
            try:
                _run(self._functions.get(block=timeout > 0, timeout=max(0.0, timeout)))
            except queue.Empty:
                if not self._num_arriving or time.monotonic() >= ends_at:
                    return


def _run(function: Callable[[], None]) -> None:
    try:
        function()
    except Exception:
        log.exception("a function in the mailbox failed")
