"""How much of a prompt was computed now and kept for the client's breakpoints, by their time to live (W17).

Source: Anthropic's documentation, "Prompt caching": what stands before a breakpoint and was not read from the cache is
written to it, with the time to live of the first breakpoint at or behind it; what stands behind the last is input.
"""

from __future__ import annotations

from collections.abc import Iterable

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind

HOUR_SECONDS = 3600


def cache_creation_tokens(boundaries: Iterable[Boundary], cached_tokens: int) -> tuple[int, int]:
    """Tokens kept for five minutes, and for an hour.

    cache_creation_tokens([Boundary(100, BREAKPOINT, 3600), Boundary(140, BREAKPOINT, 300)], 30) == (40, 70)
    """
    for_minutes = for_an_hour = 0
    done = cached_tokens
    breakpoints = [boundary for boundary in boundaries if boundary.kind is BoundaryKind.BREAKPOINT]
    for boundary in sorted(breakpoints, key=lambda boundary: boundary.num_tokens):
        new = max(0, boundary.num_tokens - done)
        if (boundary.ttl_seconds or 0) >= HOUR_SECONDS:
            for_an_hour += new
        else:
            for_minutes += new
        done = max(done, boundary.num_tokens)
    return for_minutes, for_an_hour
