"""How many requests a client may make in a minute (G-2.3)."""

from __future__ import annotations

import math
from collections import OrderedDict, deque

WINDOW_SECONDS = 60.0
MAX_CLIENTS = 1024
"""Clients that are remembered; the one that has been silent longest is forgotten first."""


class RateLimit:
    """At most `requests_per_minute` by each client in any 60 seconds. What is refused does not count."""

    def __init__(self, requests_per_minute: int) -> None:
        self._limit = requests_per_minute
        self._admitted: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, client: str, now_seconds: float) -> int:
        """Take a request in: 0, or the whole seconds after which it would be taken in."""
        times = self._admitted.setdefault(client, deque())
        self._admitted.move_to_end(client)
        while times and times[0] <= now_seconds - WINDOW_SECONDS:
            times.popleft()
        if len(times) >= self._limit:
            return max(1, math.ceil(times[0] + WINDOW_SECONDS - now_seconds))
        times.append(now_seconds)
        if len(self._admitted) > MAX_CLIENTS:
            self._admitted.popitem(last=False)
        return 0
