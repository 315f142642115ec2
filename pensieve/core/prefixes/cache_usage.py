"""How many tokens of a prompt count as written to the cache, by time to live (W17).

Source: Anthropic's documentation, "Prompt caching". Tokens before a breakpoint that were not read from the cache are
written to it, with the time to live of the next breakpoint; tokens after the last breakpoint are plain input.
"""

from __future__ import annotations

from collections.abc import Iterable

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind

HOUR_SECONDS = 3600


def cache_creation_tokens(boundaries: Iterable[Boundary], cached_tokens: int) -> tuple[int, int]:
    """Tokens written for five minutes, and for an hour.

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
