"""What the generation loop does about an exception: contain it, count it, or end.

A contained fault concerns something that no answer needs. A failed request is its own fault, unless different ones fail
in a row. A counted fault left events or a batch in an unknown state; several without a token in between mean that the
loop cannot go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final

log = logging.getLogger(__name__)

MAX_IN_A_ROW: Final = 3
MAX_FAILED_REQUESTS: Final = 5
"""If this many different requests fail in a row, without a completed answer in between, the engine is at fault. A
request that is sent again counts once.
"""
LOG_INTERVAL_SECONDS: Final = 60.0
"""At most one traceback of each kind in this time: a fault may repeat at every step."""


class LoopFailedError(Exception):
    """The loop cannot go on. Its message is the reason, for the log and for `/health`."""


class Faults:
    """Used on the thread that owns MLX."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._num_in_a_row = 0
        self._failed: set[Hashable] = set()
        self._logged_at: dict[str, float] = {}

    @contextmanager
    def contained(self, what: str) -> Iterator[None]:
        """Log an exception in the block, and go on after it. `what` completes "… failed"."""
        try:
            yield
        except Exception:
            self.log(what)

    def count(self, what: str) -> None:
        """Log and count the exception that is being handled.

        Raises:
            LoopFailedError: it is one of several without a token in between.
        """
        self.log(what)
        self._num_in_a_row += 1
        if self._num_in_a_row >= MAX_IN_A_ROW:
            raise LoopFailedError(f"{what} failed, the last of {MAX_IN_A_ROW} faults without a token in between")

    def fail(self, what: str, request: Hashable) -> None:
        """Log the exception that is being handled, and count the request that failed because of it.

        Raises:
            LoopFailedError: it is one of several different ones in a row.
        """
        self.log(what)
        self._failed.add(request)
        if len(self._failed) >= MAX_FAILED_REQUESTS:
            raise LoopFailedError(f"{MAX_FAILED_REQUESTS} different requests in a row failed")

    def note_token(self) -> None:
        self._num_in_a_row = 0

    def note_answer(self) -> None:
        self._failed.clear()

    def log(self, what: str) -> None:
        """Log the exception that is being handled."""
        now = self._clock()
        if now - self._logged_at.get(what, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS:
            self._logged_at[what] = now
            log.exception("%s failed", what)
