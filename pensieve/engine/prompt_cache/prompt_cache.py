"""The KV store under the ledger's capacity, and what it was good for (C2, W17).

What is stored is memory that nobody needs now: it is given up before a request is refused.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from contracts.values.generation import PromptTokens
from contracts.values.vocabulary import BufferUsage, Reservation
from pensieve.core.errors import InsufficientMemoryError
from pensieve.core.prefixes.boundary import Boundary
from pensieve.device.memory.device_memory import HIGH_SHARE, DeviceMemory
from pensieve.engine.prompt_cache.match import Match
from pensieve.engine.prompt_cache.null_store import NullStore
from pensieve.engine.prompt_cache.store import KVStore

log = logging.getLogger(__name__)

Store = KVStore | NullStore


class PromptCache:
    """Used on the thread that owns MLX, but for `cached_tokens` and `note_difference`, and the figures."""

    def __init__(self, memory: DeviceMemory, store: Store) -> None:
        self.tokens = PromptTokens()
        self._memory = memory
        self._store = store
        self._wanted_bytes = self._pressed_bytes = store.limit_bytes
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

    def admit(self, token_ids: Sequence[int], num_bytes: int) -> tuple[Reservation, Match]:
        """Promise memory to a request, and give it what is known of its prompt, as caches of its own.

        What is stored gives way, other prompts before its own. Where its own cannot be there twice, it is taken out of
        the store and comes back with the request's end.

        Raises:
            InsufficientMemoryError: not even then; and nothing has changed.
        """
        missing = num_bytes - (self._memory.capacity_bytes - self._memory.reserved_bytes())
        stored = self._store.num_bytes
        if missing > stored:
            raise InsufficientMemoryError("kv cache", num_bytes, num_bytes - missing + stored)
        own = self._store.bytes_of(token_ids)
        takes = missing > stored - own
        if missing > 0 and not takes:
            self._store.touch(token_ids)
            self._store.shrink(missing)
            self._account()
            self._memory.reclaim()
        if takes:
            self._promise(0)
        reservation = self._memory.reserve(num_bytes, BufferUsage.KV_CACHE)
        return reservation, self._match(token_ids, takes=takes)

    def _match(self, token_ids: Sequence[int], *, takes: bool) -> Match:
        """Counted as read."""
        try:
            match = self._store.take(token_ids) if takes else self._store.match(token_ids)
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
    ) -> bool:
        """Store what was computed, in the room that requests leave; whether it can be read from now on.

        With `move` nobody else has the caches: they are emptied on the way, where they can be.
        """
        if isinstance(self._store, NullStore):
            return False
        others = self._memory.reserved_bytes() - self._memory.reserved_bytes(BufferUsage.STORED_PROMPTS)
        unpressed = self._memory.watermark_bytes(HIGH_SHARE) - self._memory.lasting_bytes
        room = min(self._wanted_bytes, self._pressed_bytes, unpressed, self._memory.capacity_bytes - others)
        self._store.limit_bytes = max(0, room)
        try:
            self._store.insert(token_ids, caches, boundaries, move=move)
        except Exception:
            self._switch_off()
        self._account()
        return self._store.cached_tokens([*token_ids, token_ids[-1]]) == len(token_ids)

    def _switch_off(self) -> None:
        """A fault in what is only a cache must not end the thread that computes, nor happen again at every request."""
        log.exception("the store of prompts failed; from now on every prompt is computed")
        self._store, self._wanted_bytes, self._pressed_bytes = NullStore(), 0, 0

    def note_difference(self, part: str) -> None:
        """Much of a prompt has to be computed, from this part on: "tools", "system" or "messages.3"."""
        kind = part.partition(".")[0]
        self.tokens.differed_in[kind] = self.tokens.differed_in.get(kind, 0) + 1

    def give_up(self, num_bytes: int) -> int:
        """Evict so much, or all there is, and keep no more than what is left until `recover`; the bytes freed."""
        freed = self._store.shrink(num_bytes) if num_bytes > 0 else 0
        if freed:
            self._pressed_bytes = self._store.num_bytes
            self._account()
        return freed

    def recover(self) -> None:
        """As much may be kept again as was wanted."""
        self._pressed_bytes = self._wanted_bytes

    def note_prefill(self, num_tokens: int, seconds: float) -> None:
        self._store.note_prefill(num_tokens, seconds)

    def close(self, timeout_seconds: float) -> None:
        """What is to be on disk gets there; the memory comes back."""
        self._store.close(timeout_seconds)
        self._account()

    def _account(self) -> None:
        """Have the ledger know what is stored."""
        self._promise(0)
        available = self._memory.capacity_bytes - self._memory.reserved_bytes()
        if self._store.num_bytes > available:
            self._store.shrink(self._store.num_bytes - available)
        self._promise(self._store.num_bytes)

    def _promise(self, num_bytes: int) -> None:
        if self._reservation is not None:
            self._memory.release(self._reservation)
            self._reservation = None
        if num_bytes:
            self._reservation = self._memory.reserve(num_bytes, BufferUsage.STORED_PROMPTS)
        self._memory.note_measured(self, BufferUsage.STORED_PROMPTS, self._store.num_bytes)
