"""The memory tier of the KV store: a prefix tree of arrays that never takes more than its limit (C2)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.core.prefixes.node import PrefixMatch
from pensieve.core.prefixes.tree import PrefixTree
from pensieve.engine.kv.segments import KVSegment, Span
from pensieve.engine.kv.snapshots import Snapshot

Kept = KVSegment | Snapshot


class MemoryTier:
    """Keys and values that can be `joined`, or whole states. `find` may be called from any thread.

    One thread alone changes it: it takes the lock to change, others take it to look.
    """

    def __init__(self, *, joined: bool, limit_bytes: int, clock: Callable[[], float]) -> None:
        self.limit_bytes = limit_bytes
        self._joined = joined
        self._clock = clock
        self._tree: PrefixTree[Kept] = PrefixTree(holds_snapshots=not joined)
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        return self._tree.num_bytes

    @property
    def num_tokens(self) -> int:
        return self._tree.num_tokens

    @property
    def is_empty(self) -> bool:
        return self._tree.is_empty

    def find(self, token_ids: Sequence[int]) -> PrefixMatch[Kept]:
        with self._lock:
            return self._tree.match(token_ids)

    @contextmanager
    def in_use(self, found: PrefixMatch[Kept]) -> Iterator[None]:
        """What was found is not evicted meanwhile, and counts as used now."""
        with self._lock:
            self._tree.touch(found.nodes, self._clock())
        with self._tree.pinned(found.nodes):
            yield

    def keep(
        self,
        token_ids: tuple[int, ...],
        num_bytes: int,
        make: Callable[[Sequence[Span]], Sequence[Kept]],
        cuts: Sequence[int] = (),
    ) -> int:
        """Keep a prompt of `num_bytes` in all, others going for it; the number of tokens that are new.

        Nothing is kept of what alone is over the limit. `make` gives the keys and values of spans of tokens that
        end at `cuts`, or the state after them.
        """
        if not token_ids or num_bytes > self.limit_bytes:
            return 0
        with self._lock:
            path = self._tree.cut(token_ids, len(token_ids)) if self._joined else ()
            found = self._tree.match(token_ids)
            num_new = len(token_ids) - found.num_tokens
            self._tree.touch(path if self._joined or num_new else found.nodes, self._clock())
        if not num_new:
            return 0
        new_bytes = num_bytes * num_new // len(token_ids) if self._joined else num_bytes
        with self._tree.pinned(path):
            self.shrink(self.num_bytes + new_bytes - self.limit_bytes)
            ends = [*sorted({cut for cut in cuts if found.num_tokens < cut < len(token_ids)}), len(token_ids)]
            pieces = dict(zip(ends, make(list(pairwise([found.num_tokens, *ends]))), strict=True))
            with self._lock:
                return self._tree.insert(token_ids, lambda _start, end: pieces[end], ends)

    def mark(self, token_ids: Sequence[int], boundaries: Sequence[Boundary]) -> None:
        """Have what boundaries name evicted later than the rest."""
        with self._lock:
            for boundary in boundaries:
                is_system, ttl_seconds = boundary.kind is BoundaryKind.SYSTEM, boundary.ttl_seconds or 0
                if boundary.num_tokens <= len(token_ids) and (is_system or ttl_seconds):
                    marked = token_ids[: boundary.num_tokens]
                    self._tree.mark(marked, is_system=is_system, ttl_seconds=ttl_seconds, now=self._clock())

    def bytes_of(self, token_ids: Sequence[int]) -> int:
        """Of what is kept of a prompt."""
        return sum(part.num_bytes for part in self.find(token_ids).payloads)

    def take(self, token_ids: Sequence[int]) -> list[KVSegment]:
        """What is kept of a prompt, which is not kept any longer; and nothing else is.

        Of keys and values that can be joined.
        """
        with self._lock:
            path = self._tree.cut(token_ids, len(token_ids))
            with self._tree.pinned(path):
                self._tree.evict(self._tree.num_bytes, self._clock())
            found = [node.payload for node in path if isinstance(node.payload, KVSegment)]
            self._tree.evict(self._tree.num_bytes, self._clock())
        return found

    def shrink(self, num_bytes: int) -> int:
        """Evict until `num_bytes` are free or nothing is left to evict; the bytes freed."""
        with self._lock:
            return self._tree.evict(num_bytes, self._clock())

    def check(self) -> None:
        """Raises:
        AssertionError: it is not what it should be.
        """
        with self._lock:
            self._tree.check()
        if self.num_bytes > self.limit_bytes:
            raise AssertionError(f"{self.num_bytes} bytes are kept where {self.limit_bytes} may be")
