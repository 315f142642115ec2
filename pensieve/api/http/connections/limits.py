"""How long the server waits for a client that neither sends nor reads, and what such clients may take together."""

from __future__ import annotations

from dataclasses import dataclass

MAX_BODY_BYTES = 32 * 1000 * 1000
MAX_REFUSED_PAUSE_SECONDS = 5.0
"""A client that pauses for longer is not about to send the rest of a body that is refused."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`max_total_bytes` limits the bodies that are being received at the same time, together, and
    `max_unread_seconds` how long an answer waits for its client to read on.
    """

    max_pause_seconds: float = 60.0
    """The longest pause between two parts of a body, and the longest time for all of it."""
    max_body_seconds: float = 600.0
    max_refused_pause_seconds: float = MAX_REFUSED_PAUSE_SECONDS
    max_unread_seconds: float = 60.0
    keep_alive_seconds: float = 120.0
    """For the next request. SDKs pool connections, and a closed one costs them a retry."""
    max_total_bytes: int = 4 * MAX_BODY_BYTES
