"""What the generation loop does about an exception: contain it, count it, or end.

A contained fault concerns one request, or something that no answer needs. A counted fault left events or a batch in an
unknown state; several without a token in between mean that the loop cannot go on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

log = logging.getLogger(__name__)

MAX_IN_A_ROW: Final = 3
LOG_INTERVAL_SECONDS: Final = 60.0
"""At most one traceback of each kind in this time: a fault may repeat at every step."""


class LoopFailedError(Exception):
    """The loop cannot go on. Its message is the reason, for the log and for `/health`."""


class Faults:
    """Used on the thread that owns MLX."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._num_in_a_row = 0
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

    def note_token(self) -> None:
        self._num_in_a_row = 0

    def log(self, what: str) -> None:
        """Log the exception that is being handled."""
        now = self._clock()
        if now - self._logged_at.get(what, -LOG_INTERVAL_SECONDS) >= LOG_INTERVAL_SECONDS:
            self._logged_at[what] = now
            log.exception("%s failed", what)
