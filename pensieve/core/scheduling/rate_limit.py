"""Limits the requests per minute of each client (G-2.3)."""

from __future__ import annotations

import math
from collections import OrderedDict, deque

WINDOW_SECONDS = 60.0
MAX_CLIENTS = 1024
"""Clients whose requests are remembered; the least recently active one is forgotten first."""


class RateLimit:
    """At most `requests_per_minute` of each client in any 60 seconds. Refused requests do not count."""

    def __init__(self, requests_per_minute: int) -> None:
        self._limit = requests_per_minute
        self._admitted: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, client: str, now_seconds: float) -> int:
        """Count a request and return 0, or return the whole seconds after which it would be admitted."""
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
