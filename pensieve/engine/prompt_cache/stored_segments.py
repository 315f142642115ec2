"""What is stored of models whose caches can all be cut: segments (C2).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pensieve.core.prefixes.boundary import Boundary, system_tokens
from pensieve.core.prefixes.node import PrefixMatch
from pensieve.engine.kv.rows.forms import leaves
from pensieve.engine.kv.segments import KVSegment, Span, bytes_per_token
from pensieve.engine.prompt_cache.disk.tier import DiskMatch
from pensieve.engine.prompt_cache.disk.transfer import DiskTransfer
from pensieve.engine.prompt_cache.memory_tier import SEGMENT_TOKENS, CachedKV, Contents, MemoryTier
from pensieve.engine.prompt_cache.restoring import matching_segments, new_caches


class StoredSegments:
    """`template` are empty caches of the model."""

    def __init__(self, template: Sequence[Any], memory: MemoryTier, disk: DiskTransfer | None) -> None:
        self._template = template
        self._memory = memory
        self._disk = disk

    def write(
        self, token_ids: tuple[int, ...], caches: Sequence[Any], boundaries: Sequence[Boundary], namespace: str
    ) -> None:
        """Queue a prompt's blocks to be written, as far as they are worth it."""
        if self._disk is not None:
            worth = self._memory.worth_of(token_ids, namespace, system_tokens(boundaries))
            self._disk.write_caches(token_ids, leaves(caches), worth, namespace)

    def insert(
        self,
        token_ids: tuple[int, ...],
        caches: Sequence[Any],
        boundaries: Sequence[Boundary],
        namespace: str,
        *,
        move: bool,
    ) -> int:
        """Insert a prompt in memory. Return the number of tokens that are new. With `move` the caches are emptied."""

        def copied(spans: Sequence[Span]) -> list[KVSegment]:
            return KVSegment.pieces(parts, spans, move=move)

        parts = leaves(caches)
        cuts = [*(boundary.num_tokens for boundary in boundaries), *range(0, len(token_ids), SEGMENT_TOKENS)]
        per_token = bytes_per_token(parts)
        fitting = token_ids[: self._memory.limit_bytes // per_token]
        return self._memory.insert(fitting, Contents(per_token * len(fitting), copied), cuts, namespace=namespace)

    def read(
        self, token_ids: tuple[int, ...], found: PrefixMatch[CachedKV], on_disk: DiskMatch, namespace: str
    ) -> tuple[int, list[Any] | None]:
        """Caches of what was found in memory and of the segments on disk, which are in memory from now on, if they fit,
        and where they end. None if nothing can be read.
        """
        segments = dict(self._disk.read(on_disk, found.num_tokens)) if self._disk is not None else {}
        if not segments:
            return 0, None
        end = max(segments)
        payloads = [*matching_segments(found), *segments.values()]
        num_bytes = sum(part.num_bytes for part in payloads)
        contents = Contents(num_bytes, lambda spans: [segments[end] for _, end in spans])
        if not self._memory.insert(token_ids[:end], contents, list(segments), namespace=namespace):
            segments.clear()  # leaves the only reference to `payloads`, which are freed as they are copied
        return end, new_caches(self._template, payloads, end, len(token_ids) + 1)
