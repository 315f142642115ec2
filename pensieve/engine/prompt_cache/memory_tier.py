"""The memory tier of the prompt cache: a prefix tree of arrays that never exceeds its limit (C2)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from typing import Final, NamedTuple

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind, is_edge
from pensieve.core.prefixes.node import Node, PrefixMatch, pin, segments_to
from pensieve.core.prefixes.tree import PrefixTree
from pensieve.core.prefixes.worth import MIN_TOKENS, PromptWorth
from pensieve.engine.kv.segments import KVSegment, Span
from pensieve.engine.kv.snapshots import Snapshot

CachedKV = KVSegment | Snapshot

SEGMENT_TOKENS: Final = 512
"""The longest segment. Shorter ones copy less when prompts branch, and lose less when they are evicted."""


@dataclass(frozen=True, slots=True)
class CachedEnd:
    """A prompt to its end: the segments that make it up, and the snapshot after it, if it needs one."""

    namespace: str
    token_ids: tuple[int, ...]
    payloads: tuple[CachedKV, ...]
    worth: PromptWorth


class Contents(NamedTuple):
    """What to store of a prompt: `make` returns the segments of spans of its tokens, of `num_bytes` in all."""

    num_bytes: int
    make: Callable[[Sequence[Span]], Sequence[KVSegment | None]]
    snapshot: Snapshot | None = None


class MemoryTier:
    """Holds KV segments and, with `needs_snapshots`, snapshots after some of them. Any thread may call `find`.

    Only one thread changes the tree. It holds the lock while it does; other threads hold it to read.
    """

    def __init__(self, *, needs_snapshots: bool, limit_bytes: int, clock: Callable[[], float]) -> None:
        self.limit_bytes = limit_bytes
        self._needs_snapshots = needs_snapshots
        self._clock = clock
        self._tree: PrefixTree[CachedKV] = PrefixTree(holds_snapshots=needs_snapshots)
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        return self._tree.num_bytes

    def is_empty(self, namespace: str) -> bool:
        return self._tree.is_empty(namespace)

    def find(self, token_ids: Sequence[int], namespace: str) -> PrefixMatch[CachedKV]:
        with self._lock:
            return self._tree.match(token_ids, namespace=namespace)

    @contextmanager
    def in_use(self, found: PrefixMatch[CachedKV]) -> Iterator[None]:
        """Mark a match as used now, and protect it from eviction while the context lasts."""
        with self._lock:
            self._tree.touch(found.nodes, self._clock())
        with self._pinned(found.nodes):
            yield

    @contextmanager
    def _pinned(self, nodes: Sequence[Node[CachedKV]]) -> Iterator[None]:
        with self._lock:
            pin(nodes)
        try:
            yield
        finally:
            with self._lock:
                self._tree.unpin(nodes)

    def note_read(self, found: PrefixMatch[CachedKV]) -> None:
        """Record that a prompt continues from a match. One of a few tokens is chance."""
        if found.num_tokens >= MIN_TOKENS:
            with self._lock:
                self._tree.touch(found.nodes, self._clock(), is_read=True)

    def worth_of(self, token_ids: Sequence[int], namespace: str, system_tokens: int) -> PromptWorth:
        with self._lock:
            path = self._tree.path(token_ids, namespace)
        return _worth(path, len(token_ids), system_tokens)

    def ends(self) -> list[CachedEnd]:
        """The ends of all prompts, those that were read again first, then the most recently used."""
        with self._lock:
            ends = [_end(namespace, path) for namespace, path in self._tree.ends()]
        return sorted(ends, key=lambda end: not end.worth.num_read)

    def insert(
        self,
        token_ids: tuple[int, ...],
        contents: Contents,
        cuts: Sequence[int] = (),
        *,
        namespace: str,
    ) -> int:
        """Insert a prompt, evicting others. Return the number of tokens that are new.

        A prompt that exceeds the limit alone is not inserted. Its segments end at `cuts`.
        """
        num_bytes, make, snapshot = contents
        state_bytes = snapshot.num_bytes if snapshot is not None else 0
        if not token_ids or num_bytes + state_bytes > self.limit_bytes:
            return 0
        with self._lock:
            path = self._tree.cut(token_ids, len(token_ids), namespace=namespace)
            found = self._tree.match(token_ids, namespace=namespace)
            is_new = found.num_tokens < len(token_ids)
            self._tree.touch(path if not self._needs_snapshots else () if is_new else found.nodes, self._clock())
        if not is_new:
            return 0
        stored = sum(len(node.token_ids) for node in path)
        with self._pinned(path):
            new_bytes = num_bytes * (len(token_ids) - stored) // len(token_ids) + state_bytes
            self.shrink(self.num_bytes + new_bytes - self.limit_bytes)
            ends = sorted({cut for cut in (*cuts, len(token_ids)) if stored < cut <= len(token_ids)})
            pieces = dict(zip(ends, make(list(pairwise([stored, *ends]))), strict=True))
            with self._lock:
                return self._tree.insert(
                    token_ids, lambda _start, end: pieces[end], ends, snapshot=snapshot, namespace=namespace
                )

    def mark(self, token_ids: Sequence[int], boundaries: Sequence[Boundary], namespace: str) -> None:
        """Evict the prefixes that end at these boundaries later than the rest, and edges before it."""
        with self._lock:
            if is_edge(boundaries, len(token_ids)):
                self._tree.mark_edge(token_ids, namespace=namespace)
            for boundary in boundaries:
                is_system, ttl_seconds = boundary.kind is BoundaryKind.SYSTEM, boundary.ttl_seconds or 0
                if boundary.num_tokens <= len(token_ids) and (is_system or ttl_seconds):
                    marked = token_ids[: boundary.num_tokens]
                    self._tree.mark(
                        marked,
                        is_system=is_system,
                        ttl_seconds=ttl_seconds,
                        now=self._clock(),
                        namespace=namespace,
                    )

    def bytes_of(self, token_ids: Sequence[int], namespace: str) -> int:
        return sum(part.num_bytes for part in self.find(token_ids, namespace).payloads)

    def take(self, token_ids: Sequence[int], namespace: str) -> list[KVSegment]:
        """Remove a prompt's segments and everything else; return the segments. Not for snapshots."""
        with self._lock:
            path = self._tree.cut(token_ids, len(token_ids), namespace=namespace)
            with self._tree.pinned(path):
                self._tree.evict(self._tree.num_bytes, self._clock())
            segments = [node.payload for node in path if isinstance(node.payload, KVSegment)]
            self._tree.evict(self._tree.num_bytes, self._clock())
        return segments

    def shrink(self, num_bytes: int) -> int:
        """Evict until `num_bytes` are freed or nothing is left. Return the bytes freed."""
        with self._lock:
            return self._tree.evict(num_bytes, self._clock())

    def check(self) -> None:
        """For tests: the tree's structure cannot be seen from outside.

        Raises:
            AssertionError: the tree is inconsistent, or over its limit.
        """
        with self._lock:
            self._tree.check()
        if self.num_bytes > self.limit_bytes:
            raise AssertionError(f"{self.num_bytes} bytes are cached, over the limit of {self.limit_bytes}")


def _end(namespace: str, path: Sequence[Node[CachedKV]]) -> CachedEnd:
    token_ids = tuple(chain.from_iterable(node.token_ids for node in path))
    last = path[-1].payload
    if isinstance(last, Snapshot):
        payloads: tuple[CachedKV, ...] = (*segments_to(path[-1]), last)
    else:
        payloads = tuple(node.payload for node in path if node.payload)
    return CachedEnd(namespace, token_ids, payloads, _worth(path, len(token_ids)))


def _worth(path: Sequence[Node[CachedKV]], num_tokens: int, system_tokens: int = 0) -> PromptWorth:
    ends = list(accumulate(len(node.token_ids) for node in path))
    num_read = max((end for end, node in zip(ends, path, strict=True) if node.was_read), default=0)
    num_system = max((end for end, node in zip(ends, path, strict=True) if node.is_system), default=0)
    return PromptWorth(num_tokens, num_read, max(system_tokens, num_system))
