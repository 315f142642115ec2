"""From what is stored of a prompt to caches for a request (C2).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pensieve.core.prefixes.node import PrefixMatch
from pensieve.engine.kv.segments import KVSegment, join_emptying
from pensieve.engine.kv.separation import together
from pensieve.engine.kv.snapshots import Snapshot, num_cached_tokens, trimmed
from pensieve.engine.prompt_cache.memory_tier import CachedKV


def segments_of(payloads: Sequence[CachedKV]) -> list[KVSegment]:
    return [part for part in payloads if isinstance(part, KVSegment)]


def new_caches(template: Sequence[Any], payloads: list[CachedKV], num_tokens: int, room_tokens: int) -> list[Any]:
    """Copies for one request to a model with caches like the template. Empties `payloads`, so that segments that are
    not in memory too are freed one by one.
    """
    last, segments = payloads[-1], segments_of(payloads)
    payloads.clear()
    if isinstance(last, Snapshot):
        return together(template, segments, last, num_tokens, room_tokens=room_tokens)
    del last
    return join_emptying(segments, num_tokens, room_tokens=room_tokens)


def matching_segments(found: PrefixMatch[CachedKV]) -> list[CachedKV]:
    """The last one cut where the match ends."""
    segments = segments_of(found.payloads)
    before = sum(segment.num_tokens for segment in segments[:-1])
    return [*segments[:-1], *(last.part(0, found.num_tokens - before) for last in segments[-1:])]


def cut_to(caches: Sequence[Any], num_tokens: int) -> list[Any] | None:
    """None if the caches hold another number of tokens and cannot be cut to these."""
    held = num_cached_tokens(caches)
    if not num_tokens or (held is not None and held < num_tokens):
        return None
    return trimmed(caches, held - num_tokens) if held is not None and held > num_tokens else list(caches)
