"""The memory tier of the prompt cache: a prefix tree of arrays that never exceeds its limit (C2)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind, is_edge
from pensieve.core.prefixes.node import Node, PrefixMatch
from pensieve.core.prefixes.tree import PrefixTree
from pensieve.core.prefixes.worth import MIN_TOKENS, PromptWorth
from pensieve.engine.kv.segments import KVSegment, Span
from pensieve.engine.kv.snapshots import Snapshot

CachedKV = KVSegment | Snapshot


@dataclass(frozen=True, slots=True)
class CachedEnd:
    """A prompt to its end: the segments that make it up, or the one snapshot after it."""

    namespace: str
    token_ids: tuple[int, ...]
    payloads: tuple[CachedKV, ...]
    worth: PromptWorth


class MemoryTier:
    """Holds KV segments or, with `needs_snapshots`, snapshots. `find` may be called from any thread.

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
        with self._tree.pinned(found.nodes):
            yield

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
        num_bytes: int,
        make: Callable[[Sequence[Span]], Sequence[CachedKV]],
        cuts: Sequence[int] = (),
        *,
        namespace: str,
    ) -> int:
        """Insert a prompt of `num_bytes` in all, evicting others. Return the number of tokens that are new.

        A prompt that exceeds the limit alone is not inserted. `make` returns the segments of spans that end at `cuts`,
        or the snapshots after them.
        """
        if not token_ids or num_bytes > self.limit_bytes:
            return 0
        with self._lock:
            path = () if self._needs_snapshots else self._tree.cut(token_ids, len(token_ids), namespace=namespace)
            found = self._tree.match(token_ids, namespace=namespace)
            num_new = len(token_ids) - found.num_tokens
            self._tree.touch(path if num_new or not self._needs_snapshots else found.nodes, self._clock())
        if not num_new:
            return 0
        new_bytes = num_bytes if self._needs_snapshots else num_bytes * num_new // len(token_ids)
        with self._tree.pinned(path):
            self.shrink(self.num_bytes + new_bytes - self.limit_bytes)
            ends = [*sorted({cut for cut in cuts if found.num_tokens < cut < len(token_ids)}), len(token_ids)]
            pieces = dict(zip(ends, make(list(pairwise([found.num_tokens, *ends]))), strict=True))
            with self._lock:
                return self._tree.insert(token_ids, lambda _start, end: pieces[end], ends, namespace=namespace)

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
    payloads = (last,) if isinstance(last, Snapshot) else tuple(node.payload for node in path if node.payload)
    return CachedEnd(namespace, token_ids, payloads, _worth(path, len(token_ids)))


def _worth(path: Sequence[Node[CachedKV]], num_tokens: int, system_tokens: int = 0) -> PromptWorth:
    ends = list(accumulate(len(node.token_ids) for node in path))
    num_read = max((end for end, node in zip(ends, path, strict=True) if node.was_read), default=0)
    num_system = max((end for end, node in zip(ends, path, strict=True) if node.is_system), default=0)
    return PromptWorth(num_tokens, num_read, max(system_tokens, num_system))
