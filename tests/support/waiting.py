"""Waits for another thread or process, with a limit so long that only a hang exceeds it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

HUNG_SECONDS: Final = 300.0
"""Far longer than the slowest machine needs."""
_POLL_SECONDS: Final = 0.01


def wait_until(is_reached: Callable[[], object]) -> None:
    """Return as soon as `is_reached()` is true.

    Raises:
        AssertionError: it is still false after `HUNG_SECONDS`.
    """
    ends_at = time.monotonic() + HUNG_SECONDS
    while not is_reached():
        assert time.monotonic() < ends_at, f"not reached after {HUNG_SECONDS:.0f} s"
        time.sleep(_POLL_SECONDS)
