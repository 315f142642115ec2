"""The store of computed prompts under the memory ledger, and counts of what it saved (C2, W17).

Cached prompts are spare memory: they are evicted before a request is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from contracts.values.generation import PromptTokens
from contracts.values.vocabulary import BufferUsage, Reservation
from pensieve.core.errors import InsufficientMemoryError
from pensieve.core.prefixes.boundary import Boundary
from pensieve.core.prefixes.states import States, further_boundaries
from pensieve.device.memory.device_memory import HIGH_SHARE, DeviceMemory
from pensieve.engine.prompt_cache.match import Match
from pensieve.engine.prompt_cache.null_store import NullStore
from pensieve.engine.prompt_cache.store import KVStore

log = logging.getLogger(__name__)

Store = KVStore | NullStore


class PromptCache:
    """Used on the thread that owns MLX, except for `cached_tokens`, `note_difference` and the properties."""

    def __init__(self, memory: DeviceMemory, store: Store) -> None:
        self.tokens = PromptTokens()
        self._memory = memory
        self._store = store
        self._limit_bytes = self._pressure_limit_bytes = store.limit_bytes
        self._reservation: Reservation | None = None

    @property
    def needs_snapshots(self) -> bool:
        return self._store.needs_snapshots

    @property
    def num_bytes(self) -> int:
        return self._store.num_bytes

    @property
    def limit_bytes(self) -> int:
        return self._limit_bytes

    def is_empty(self, *, namespace: str = "") -> bool:
        return self._store.is_empty(namespace=namespace)

    def cached_tokens(self, token_ids: Sequence[int], *, namespace: str = "") -> int:
        return self._store.cached_tokens(token_ids, namespace=namespace)

    def admit(self, token_ids: Sequence[int], num_bytes: int, *, namespace: str = "") -> tuple[Reservation, Match]:
        """Reserve memory for a request, and match its prompt.

        Cached prompts are evicted as far as necessary, others before its own. If there is no room for its own twice, it
        is moved out of the store, and comes back at the request's end.

        Raises:
            InsufficientMemoryError: evicting everything does not suffice; nothing has changed.
        """
        missing = num_bytes - (self._memory.capacity_bytes - self._memory.reserved_bytes())
        evictable = self._store.num_bytes
        if missing > evictable:
            raise InsufficientMemoryError("kv cache", num_bytes, num_bytes - missing + evictable)
        own = self._store.bytes_of(token_ids, namespace=namespace)
        moves = missing > evictable - own
        if missing > 0 and not moves:
            self._store.touch(token_ids, namespace=namespace)
            self._store.shrink(missing)
            self._account()
            self._memory.reclaim()
        if moves:
            self._reserve(0)
        reservation = self._memory.reserve(num_bytes, BufferUsage.KV_CACHE)
        try:
            return reservation, self._match(token_ids, namespace, moves=moves)
        except BaseException:
            self._memory.release(reservation)
            raise

    def _match(self, token_ids: Sequence[int], namespace: str, *, moves: bool) -> Match:
        try:
            find = self._store.take if moves else self._store.match
            match = find(token_ids, namespace=namespace)
        except Exception:
            self._switch_off()
            match = self._store.match(token_ids)
        self.tokens.read += match.num_tokens
        self.tokens.from_disk += match.from_disk_tokens
        self.tokens.computed += len(token_ids) - match.num_tokens
        self._account()
        return match

    def keep(
        self,
        token_ids: Sequence[int],
        caches: Sequence[Any],
        boundaries: Sequence[Boundary] = (),
        *,
        move: bool = False,
        namespace: str = "",
    ) -> bool:
        """Store computed caches in the memory that requests leave free. Return whether all tokens are cached now.

        `move` says that the caller does not use the caches any more: they are emptied on the way, if possible.
        """
        if isinstance(self._store, NullStore):
            return False
        others = self._memory.reserved_bytes() - self._memory.reserved_bytes(BufferUsage.STORED_PROMPTS)
        below_high = self._memory.watermark_bytes(HIGH_SHARE) - self._memory.lasting_bytes
        available = min(self._limit_bytes, self._pressure_limit_bytes, below_high, self._memory.capacity_bytes - others)
        self._store.limit_bytes = max(0, available)
        try:
            self._store.insert(token_ids, caches, boundaries, move=move, namespace=namespace)
        except Exception:
            self._switch_off()
        self._account()
        return self._store.cached_tokens([*token_ids, token_ids[-1]], namespace=namespace) == len(token_ids)

    def _switch_off(self) -> None:
        """A fault in a cache must neither end the thread that computes nor repeat at every request."""
        log.exception("the prompt cache failed and is switched off; from now on every prompt is computed")
        self._store, self._limit_bytes, self._pressure_limit_bytes = NullStore(), 0, 0

    def further_boundaries(
        self, prompt: Sequence[int], boundaries: Sequence[Boundary], states: States, *, namespace: str = ""
    ) -> tuple[Boundary, ...]:
        """Where else to store states of a prompt that is about to be computed. Edges may take half of what is free."""
        store = self._store
        if not store.needs_snapshots or not self.limit_bytes:
            return ()
        shared = store.shared_tokens(prompt, namespace=namespace)
        free_bytes = (store.limit_bytes - store.num_bytes) // 2
        return further_boundaries(len(prompt), shared, boundaries, states, free_bytes)

    def note_difference(self, part: str) -> None:
        """Count a prompt that differs from the cached ones in this part: "tools", "system" or "messages.3"."""
        kind = part.partition(".")[0]
        self.tokens.differed_in[kind] = self.tokens.differed_in.get(kind, 0) + 1

    def evict(self, num_bytes: int) -> int:
        """Evict at least `num_bytes`, or everything, and do not grow again until `recover`. Return the bytes freed."""
        freed = self._store.shrink(num_bytes) if num_bytes > 0 else 0
        if freed:
            self._pressure_limit_bytes = self._store.num_bytes
            self._account()
        return freed

    def recover(self) -> None:
        """Allow the full limit again."""
        self._pressure_limit_bytes = self._limit_bytes

    def note_prefill(self, num_tokens: int, seconds: float) -> None:
        self._store.note_prefill(num_tokens, seconds)

    def close(self, timeout_seconds: float) -> None:
        """Write pending prompts to disk and free the memory."""
        self._store.close(timeout_seconds)
        self._account()

    def _account(self) -> None:
        """Reserve exactly what is stored, evicting what exceeds the free memory."""
        self._reserve(0)
        available = self._memory.capacity_bytes - self._memory.reserved_bytes()
        if self._store.num_bytes > available:
            self._store.shrink(self._store.num_bytes - available)
        self._reserve(self._store.num_bytes)

    def _reserve(self, num_bytes: int) -> None:
        if self._reservation is not None:
            self._memory.release(self._reservation)
            self._reservation = None
        if num_bytes:
            self._reservation = self._memory.reserve(num_bytes, BufferUsage.STORED_PROMPTS)
        self._memory.note_measured(self, BufferUsage.STORED_PROMPTS, self._store.num_bytes)
