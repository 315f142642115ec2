"""How long a load waits for memory, and how long an idle model stays loaded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

POLL_SECONDS = 0.1
"""A stream of a model that was loaded but not borrowed ends without an event, so a waiting load polls for it."""

MAX_WATCH_SECONDS = 15.0
"""The longest pause between two searches for idle models."""


@dataclass(frozen=True, slots=True)
class PoolTimeouts:
    """A load waits up to `room_seconds` for models in use to become idle, then it fails and its clients get an
    error that they may retry. A model is unloaded after `idle_seconds` without a request; None keeps it loaded. A model
    that fails is loaded again, unless it was already in the last `revival_seconds`.
    """

    room_seconds: float = 30.0
    idle_seconds: float | None = None
    revival_seconds: float = 600.0
    clock: Callable[[], float] = time.monotonic
