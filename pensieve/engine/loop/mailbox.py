"""What other threads want of the one that computes: small functions, run there between two steps."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Final, TypeVar

from pensieve.device.device import Backend

R = TypeVar("R")

ARRIVAL_SECONDS: Final = 0.03
"""With nothing to compute, so long at most is waited for requests that are being tokenised: those that come together
are then read in one pass.
"""
PAUSE_SECONDS: Final[Mapping[Backend, float]] = {"cpu": 0.005, "metal": 0.0, "cuda": 0.0}
"""So long is waited for another to begin to be. The event loop takes as long for one, and a CPU a hundred times as long
for a pass that has to read it by itself. Metal was not measured, and on an H200 it would show in the first token.
"""


class Mailbox:
    """`drain` belongs to the thread that computes, `arriving` to one other, and the rest to any."""

    def __init__(self, pause_seconds: float = 0.0) -> None:
        self._pause_seconds = pause_seconds
        self._functions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._num_arriving = 0

    def put(self, function: Callable[[], None]) -> None:
        self._functions.put(function)

    def call(self, function: Callable[[], R]) -> Future[R]:
        """Run `function` on the thread that computes, between two steps."""
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
        """A request is being prepared, and is likely to be put in when the block ends."""
        self._num_arriving += 1
        try:
            yield
        finally:
            self._num_arriving -= 1

    def drain(self, *, idle: bool) -> None:
        """Run everything that has arrived; if `idle`, wait for it, and for what arrives with it."""
        ends_at = 0.0
        if idle:
            self._functions.get()()
            ends_at = time.monotonic() + ARRIVAL_SECONDS
        while True:
            left = ends_at - time.monotonic()
            patience = left if self._num_arriving else min(left, self._pause_seconds)
            try:
                self._functions.get(block=patience > 0, timeout=max(0.0, patience))()
            except queue.Empty:
                if not self._num_arriving or time.monotonic() >= ends_at:
                    return
