"""Computed prompts of one model, kept for later requests in memory, and on disk across restarts (C2).

The thread that owns MLX calls everything except `cached_tokens`, which any thread may call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pensieve.core.prefixes.boundary import Boundary, is_edge, system_tokens
from pensieve.core.prefixes.node import PrefixMatch
from pensieve.core.prefixes.states import SharedTokens
from pensieve.engine.kv.rows.forms import leaves
from pensieve.engine.kv.snapshots import has_growing_layout, num_cached_tokens
from pensieve.engine.prompt_cache.disk.tier import DiskMatch, DiskTier
from pensieve.engine.prompt_cache.disk.transfer import DiskTransfer
from pensieve.engine.prompt_cache.match import Match, MissReason
from pensieve.engine.prompt_cache.memory_tier import CachedKV, MemoryTier
from pensieve.engine.prompt_cache.restoring import new_caches, segments_of
from pensieve.engine.prompt_cache.stored_segments import StoredSegments
from pensieve.engine.prompt_cache.stored_states import StoredStates

if TYPE_CHECKING:
    from pensieve.models.loading.load import LoadedModel


class KVStore:
    """At most `limit_bytes` of arrays in memory, and `disk` if there is one.

    With `needs_snapshots`, the model's caches cannot be cut: only states that were inserted at a boundary are found.
    What is inserted in one `namespace` is not found in another.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        limit_bytes: int,
        disk: DiskTier | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from pensieve.device.mlx_lm import caches as mlx_lm_caches  # noqa: PLC0415 - half a second

        self._template = mlx_lm_caches.new_caches(model.model)
        self.needs_snapshots = not has_growing_layout(self._template)
        self._limit_bytes = limit_bytes
        self._memory = MemoryTier(needs_snapshots=self.needs_snapshots, limit_bytes=limit_bytes, clock=clock)
        self._disk = self._transfer(disk) if disk is not None else None
        self._segments = StoredSegments(self._template, self._memory, self._disk)
        self._states = StoredStates(self._template, self._memory, self._disk)
        self.limit_bytes = limit_bytes

    def _transfer(self, disk: DiskTier) -> DiskTransfer:
        kinds = {type(each) for each in leaves(self._template)}
        return DiskTransfer(disk, needs_snapshots=self.needs_snapshots, kinds=kinds)

    @property
    def num_bytes(self) -> int:
        """Of the arrays in memory, and of what waits to be written: never over the limit."""
        return self._memory.num_bytes + self._queued_bytes

    @property
    def _queued_bytes(self) -> int:
        return self._disk.disk.queued_bytes if self._disk is not None else 0

    @property
    def limit_bytes(self) -> int:
        return self._limit_bytes

    @limit_bytes.setter
    def limit_bytes(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._memory.limit_bytes = max(0, limit_bytes - self._queued_bytes)
        if self._disk is not None:
            self._disk.max_queued_bytes = limit_bytes // 2
        self.shrink(self.num_bytes - limit_bytes)

    def is_empty(self, *, namespace: str = "") -> bool:
        return self._memory.is_empty(namespace) and (self._disk is None or self._disk.disk.is_empty(namespace))

    def cached_tokens(self, token_ids: Sequence[int], *, namespace: str = "") -> int:
        """The number of tokens that `match` would return, as far as can be known without reading a file."""
        token_ids = tuple(token_ids[:-1])
        num_tokens = self._memory.find(token_ids, namespace).num_tokens
        on_disk = self._disk.find(token_ids, num_tokens, namespace) if self._disk is not None else None
        return on_disk.num_tokens if on_disk is not None else num_tokens

    def match(self, token_ids: Sequence[int], *, namespace: str = "") -> Match:
        """The longest cached prefix, without the prompt's last token, which always has to be evaluated."""
        token_ids = tuple(token_ids[:-1])
        found = self._memory.find(token_ids, namespace)
        with self._memory.in_use(found):
            if self.needs_snapshots and (found.was_read or found.ends_at_unread_edge):
                end = token_ids[: found.num_tokens]
                worth = self._memory.worth_of(end, namespace, 0)
                self._states.write(end, found.payloads, worth, namespace, is_due=found.was_read)
            self._memory.note_read(found)
            match = self._match_on_disk(token_ids, found, namespace)
            if match is not None:
                return match
            reason = _reason(found, token_ids, is_empty=self.is_empty(namespace=namespace))
            return self._matched(list(found.payloads), found.num_tokens, len(token_ids), reason)

    def shared_tokens(self, prompt: Sequence[int], *, namespace: str = "") -> SharedTokens:
        found = self._memory.find(tuple(prompt[:-1]), namespace)
        return SharedTokens(found.num_tokens, found.num_shared_tokens)

    def touch(self, token_ids: Sequence[int], *, namespace: str = "") -> None:
        """Count a prompt as used now, so that others are evicted before it."""
        with self._memory.in_use(self._memory.find(tuple(token_ids[:-1]), namespace)):
            pass

    def bytes_of(self, token_ids: Sequence[int], *, namespace: str = "") -> int:
        """The bytes of the caches that `take` would return."""
        return 0 if self.needs_snapshots else self._memory.bytes_of(tuple(token_ids[:-1]), namespace)

    def take(self, token_ids: Sequence[int], *, namespace: str = "") -> Match:
        """Like `match`, from memory only, and empties the memory tier.

        For a prompt too long to be in memory twice. It comes back when the request is inserted at its end.
        """
        token_ids = tuple(token_ids[:-1])
        found = self._memory.find(token_ids, namespace)
        reason = _reason(found, token_ids, is_empty=self.is_empty(namespace=namespace))
        self._memory.note_read(found)
        segments = self._memory.take(token_ids, namespace)
        num_tokens = sum(segment.num_tokens for segment in segments)
        return self._matched(list(segments), num_tokens, len(token_ids), reason)

    def insert(
        self,
        token_ids: Sequence[int],
        caches: Sequence[Any],
        boundaries: Sequence[Boundary] = (),
        *,
        move: bool = False,
        namespace: str = "",
    ) -> int:
        """Insert what caches hold of a prompt. Return the number of tokens that were not in memory before.

        Caches that hold more tokens than these are cut. If the prompt exceeds the limit, its beginning is kept; a
        snapshot that exceeds it is not. `boundaries` name the prefixes to keep longer, and where prompts will branch.
        With `move` the caches are emptied on the way, so that nothing is in memory twice.
        """
        token_ids = tuple(token_ids)
        if self.needs_snapshots:
            num_new = self._insert_snapshot(token_ids, caches, boundaries, namespace)
        else:
            token_ids = token_ids[: num_cached_tokens(caches)]
            num_new = self._insert_segments(token_ids, caches, boundaries, namespace, move=move) if token_ids else 0
        self._memory.mark(token_ids, boundaries, namespace)
        return num_new

    def shrink(self, num_bytes: int) -> int:
        """Evict until `num_bytes` are freed or nothing is left, queued writes last. Return the bytes freed."""
        freed = self._memory.shrink(num_bytes)
        if freed < num_bytes and self._disk is not None:
            freed += self._disk.disk.drop_queued()
        return freed

    def note_prefill(self, num_tokens: int, seconds: float) -> None:
        """Measure how fast prompts are computed: they are read from disk only where that is faster."""
        if self._disk is not None:
            self._disk.prefill_rate.note(num_tokens, seconds)

    def close(self, timeout_seconds: float) -> None:
        """Write to disk what was left for now, end the writing thread, and empty the memory tier."""
        if self._disk is not None:
            for end in self._memory.ends():
                if self.needs_snapshots:
                    self._states.write(end.token_ids, end.payloads, end.worth, end.namespace, is_due=True)
                else:
                    self._disk.write_end(end.token_ids, segments_of(end.payloads), end.worth, end.namespace)
            self._disk.disk.close(timeout_seconds)
        self.shrink(self.num_bytes)

    def check(self) -> None:
        """For tests, as `MemoryTier.check`."""
        self._memory.check()

    def _insert_segments(
        self,
        token_ids: tuple[int, ...],
        caches: Sequence[Any],
        boundaries: Sequence[Boundary],
        namespace: str,
        *,
        move: bool,
    ) -> int:
        self._segments.write(token_ids, caches, boundaries, namespace)
        self.limit_bytes = self._limit_bytes  # what waits to be written is part of it
        return self._segments.insert(token_ids, caches, boundaries, namespace, move=move)

    def _insert_snapshot(
        self, token_ids: tuple[int, ...], caches: Sequence[Any], boundaries: Sequence[Boundary], namespace: str
    ) -> int:
        worth = self._memory.worth_of(token_ids, namespace, system_tokens(boundaries))
        num_new = self._states.insert(
            token_ids, caches, worth, namespace, in_memory_only=is_edge(boundaries, len(token_ids))
        )
        self.limit_bytes = self._limit_bytes  # what waits to be written is part of it
        return num_new

    def _match_on_disk(self, token_ids: tuple[int, ...], found: PrefixMatch[CachedKV], namespace: str) -> Match | None:
        """A longer match than memory's, if disk has one. It is in memory too from now on, if it fits."""
        on_disk = self._disk.find_to_read(token_ids, found.num_tokens, namespace) if self._disk is not None else None
        if on_disk is None:
            return None
        end, caches = on_disk.num_tokens, None
        if self.needs_snapshots:
            caches = self._states.read(token_ids, found, on_disk, namespace)
        else:
            end, caches = self._segments.read(token_ids, found, on_disk, namespace)
        if caches is None:
            return None
        return Match(end, caches, _reason_on_disk(on_disk, end, len(token_ids)), end - found.num_tokens)

    def _matched(self, payloads: list[CachedKV], num_tokens: int, num_prompt: int, reason: MissReason) -> Match:
        """A match in memory. Empties `payloads`."""
        caches = new_caches(self._template, payloads, num_tokens, num_prompt + 1) if num_tokens else None
        return Match(num_tokens, caches, reason)


def _reason(found: PrefixMatch[CachedKV], token_ids: tuple[int, ...], *, is_empty: bool) -> MissReason:
    """Why a match in memory ends where it does."""
    if found.num_tokens == len(token_ids):
        return MissReason.NONE
    if is_empty:
        return MissReason.EMPTY
    differs = found.has_continuation and found.num_shared_tokens < len(token_ids)
    return MissReason.DIFFERS if differs else MissReason.ENDS


def _reason_on_disk(found: DiskMatch, end: int, num_tokens: int) -> MissReason:
    """Why the reading of a match ended at `end`, in a prompt of `num_tokens`."""
    if end == num_tokens:
        return MissReason.NONE
    return MissReason.DIFFERS if end == found.num_tokens and found.has_continuation else MissReason.ENDS
