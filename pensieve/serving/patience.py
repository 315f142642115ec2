"""How long models wait, and are waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

LOOK_SECONDS = 0.1
"""A stream that nobody borrowed a model for ends unannounced: whoever waits looks as often as this."""

LONGEST_NAP_SECONDS = 15.0
"""Between two looks for models that nobody uses."""


@dataclass(frozen=True, slots=True)
class Patience:
    """A model waits `room_seconds` for those in use to become idle, then its clients are told to come back; it is
    unloaded when nobody used it for `idle_seconds`, or never.
    """

    room_seconds: float = 30.0
    idle_seconds: float | None = None
    clock: Callable[[], float] = time.monotonic
