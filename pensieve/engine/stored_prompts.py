"""The KV store under the ledger's capacity, and what it was good for (C2, W17).

What is stored is memory that nobody needs now: it is given up before a request is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from contracts.generation import PromptTokens
from contracts.vocabulary import BufferUsage, Reservation
from pensieve.core.boundary import Boundary
from pensieve.engine.kv_store import KVStore, Match, NoStore
from pensieve.metal.memory import DeviceMemory

log = logging.getLogger(__name__)

Store = KVStore | NoStore


class StoredPrompts:
    """Used on the thread that owns MLX, but for `cached_tokens` and `note_difference`, and the figures."""

    def __init__(self, memory: DeviceMemory, store: Store) -> None:
        self.tokens = PromptTokens()
        self._memory = memory
        self._store = store
        self._wanted_bytes = store.limit_bytes
        self._reservation: Reservation | None = None

    @property
    def needs_snapshots(self) -> bool:
        return self._store.needs_snapshots

    @property
    def num_bytes(self) -> int:
        return self._store.num_bytes

    @property
    def limit_bytes(self) -> int:
        return self._wanted_bytes

    def cached_tokens(self, token_ids: Sequence[int]) -> int:
        return self._store.cached_tokens(token_ids)

    def match(self, token_ids: Sequence[int]) -> Match:
        """What is known of a prompt, as caches of the request's own; counted as read."""
        try:
            match = self._store.match(token_ids)
        except Exception:
            self._switch_off()
            match = self._store.match(token_ids)
        self.tokens.read += match.num_tokens
        self.tokens.from_disk += match.from_disk_tokens
        self.tokens.computed += len(token_ids) - match.num_tokens
        self._account()
        return match

    def keep(self, token_ids: Sequence[int], caches: Sequence[Any], boundaries: Sequence[Boundary] = ()) -> bool:
        """Store what was computed, in the room that requests leave; whether it can be read from now on."""
        if isinstance(self._store, NoStore):
            return False
        others = self._memory.reserved_bytes() - self._memory.reserved_bytes(BufferUsage.STORED_PROMPTS)
        self._store.limit_bytes = max(0, min(self._wanted_bytes, self._memory.capacity_bytes - others))
        try:
            self._store.insert(token_ids, caches, boundaries)
        except Exception:
            self._switch_off()
        self._account()
        return self._store.cached_tokens([*token_ids, token_ids[-1]]) == len(token_ids)

    def _switch_off(self) -> None:
        """A fault in what is only a cache must not end the thread that computes, nor happen again at every request."""
        log.exception("the store of prompts failed; from now on every prompt is computed")
        self._store, self._wanted_bytes = NoStore(), 0

    def note_difference(self, part: str) -> None:
        """Much of a prompt has to be computed, from this part on: "tools", "system" or "messages.3"."""
        kind = part.partition(".")[0]
        self.tokens.differed_in[kind] = self.tokens.differed_in.get(kind, 0) + 1

    def make_room(self, num_bytes: int, token_ids: Sequence[int]) -> None:
        """Give up enough of what is stored for `num_bytes` to be reserved, or all of it.

        What is known of the prompt that they are for goes last.
        """
        missing = num_bytes - (self._memory.capacity_bytes - self._memory.reserved_bytes())
        if missing > 0 and self._store.num_bytes:
            self._store.touch(token_ids)
            self._store.shrink(missing)
            self._account()
            self._memory.reclaim()

    def note_prefill(self, num_tokens: int, seconds: float) -> None:
        self._store.note_prefill(num_tokens, seconds)

    def close(self, timeout_seconds: float) -> None:
        """What is to be on disk gets there; the memory comes back."""
        self._store.close(timeout_seconds)
        self._account()

    def _account(self) -> None:
        """Have the ledger know what is stored."""
        if self._reservation is not None:
            self._memory.release(self._reservation)
            self._reservation = None
        available = self._memory.capacity_bytes - self._memory.reserved_bytes()
        if self._store.num_bytes > available:
            self._store.shrink(self._store.num_bytes - available)
        if self._store.num_bytes:
            self._reservation = self._memory.reserve(self._store.num_bytes, BufferUsage.STORED_PROMPTS)
        self._memory.measured_stored_bytes = self._store.num_bytes
