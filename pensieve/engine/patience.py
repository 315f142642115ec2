"""How long models wait, and are waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """A model waits `room_seconds` for those in use to become idle, then its clients are told to come back; it is
    unloaded when nobody used it for `idle_seconds`, or never.
    """

    room_seconds: float = 30.0
    idle_seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
