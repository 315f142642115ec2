"""The KV store: what was computed of prompts, kept so that it is not computed again (C2).

A memory tier, and behind it a disk tier that survives the process. The thread that owns MLX calls everything but
`cached_tokens`, which any thread may.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pensieve.core.prefixes.boundary import Boundary
from pensieve.core.prefixes.node import PrefixMatch
from pensieve.engine.kv.segments import KVSegment, Span, bytes_per_token, join_emptying
from pensieve.engine.kv.snapshots import Snapshot, has_growing_layout, num_cached_tokens, trimmed
from pensieve.engine.prompt_cache.disk.tier import DiskTier
from pensieve.engine.prompt_cache.disk.transfer import DiskTransfer
from pensieve.engine.prompt_cache.match import Match, MissReason
from pensieve.engine.prompt_cache.memory_tier import Kept, MemoryTier

if TYPE_CHECKING:
    from pensieve.models.loading.load import LoadedModel

PIECE_TOKENS: Final = 512
"""A long prompt is stored in pieces of at most that: less is copied when prompts branch, and less lost by evicting."""


class KVStore:
    """Keeps prompts of one model in at most `limit_bytes` of arrays; and on `disk`, if there is one.

    `needs_snapshots`: the model's caches cannot be cut, so only states that are inserted as they pass a boundary can
    be found again.
    """

    def __init__(
        self,
        model: LoadedModel,
        *,
        limit_bytes: int,
        disk: DiskTier | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from mlx_lm.models.cache import make_prompt_cache  # noqa: PLC0415 - transformers takes seconds to import

        joined = has_growing_layout(make_prompt_cache(model.model))
        self.needs_snapshots = not joined
        self._memory = MemoryTier(joined=joined, limit_bytes=limit_bytes, clock=clock)
        self._disk = DiskTransfer(disk, joined=joined) if disk is not None else None

    @property
    def num_bytes(self) -> int:
        """Of the arrays in memory: at no time more than the limit."""
        return self._memory.num_bytes

    @property
    def num_tokens(self) -> int:
        """Of all prompts in memory; what they share counts once."""
        return self._memory.num_tokens

    @property
    def limit_bytes(self) -> int:
        return self._memory.limit_bytes

    @limit_bytes.setter
    def limit_bytes(self, limit_bytes: int) -> None:
        self._memory.limit_bytes = limit_bytes
        self.shrink(self.num_bytes - limit_bytes)

    def cached_tokens(self, token_ids: Sequence[int]) -> int:
        """How much of a prompt `match` would give, as far as can be told without reading. From any thread."""
        token_ids = tuple(token_ids[:-1])
        num_tokens = self._memory.find(token_ids).num_tokens
        on_disk = self._disk.find(token_ids, num_tokens) if self._disk is not None else None
        return on_disk.num_tokens if on_disk is not None else num_tokens

    def match(self, token_ids: Sequence[int]) -> Match:
        """The longest known prefix of a prompt, but for its last token, which is always left to evaluate."""
        token_ids = tuple(token_ids[:-1])
        found = self._memory.find(token_ids)
        with self._memory.in_use(found):
            match = self._restored(token_ids, found)
            if match is not None:
                return match
            reason = self._reason(token_ids, found)
            if not found.num_tokens:
                return Match(0, None, reason)
            return Match(
                found.num_tokens, _new_caches(list(found.payloads), found.num_tokens, len(token_ids) + 1), reason
            )

    def touch(self, token_ids: Sequence[int]) -> None:
        """What memory has of a prompt is about to be read: it counts as used now, so other things are evicted first."""
        with self._memory.in_use(self._memory.find(tuple(token_ids[:-1]))):
            pass

    def bytes_of(self, token_ids: Sequence[int]) -> int:
        """What memory has of a prompt and `take` would give, in bytes."""
        return 0 if self.needs_snapshots else self._memory.bytes_of(tuple(token_ids[:-1]))

    def take(self, token_ids: Sequence[int]) -> Match:
        """The same as `match`, of what is in memory alone, and nothing is in memory afterwards.

        For a prompt so long that it cannot be there twice: it comes back when it is inserted again.
        """
        token_ids = tuple(token_ids[:-1])
        reason = self._reason(token_ids, self._memory.find(token_ids))
        parts = self._memory.take(token_ids)
        num_tokens = sum(part.num_tokens for part in parts)
        if not num_tokens:
            return Match(0, None, reason)
        return Match(num_tokens, join_emptying(parts, num_tokens, room_tokens=len(token_ids) + 1), reason)

    def insert(
        self,
        token_ids: Sequence[int],
        caches: Sequence[Any],
        boundaries: Sequence[Boundary] = (),
        *,
        move: bool = False,
    ) -> int:
        """Keep what caches hold of a prompt; the number of tokens at its end that memory did not have before.

        Caches that hold more tokens than these are cut. Of what is too big for the limit, its beginning is kept where
        it can be cut, else nothing; memory is never beyond it. `boundaries` say what is to be kept longer than other
        things, and where prompts will branch. With `move` the caches are emptied on the way: what they hold is never
        in memory twice.
        """
        token_ids = tuple(token_ids)
        if self.needs_snapshots:
            num_new = self._insert_state(token_ids, caches)
        else:
            token_ids = token_ids[: num_cached_tokens(caches)]
            num_new = self._insert_joined(token_ids, caches, boundaries, move=move) if token_ids else 0
        self._memory.mark(token_ids, boundaries)
        return num_new

    def shrink(self, num_bytes: int) -> int:
        """Evict until `num_bytes` are free or nothing is left; the bytes freed."""
        return self._memory.shrink(num_bytes)

    def note_prefill(self, num_tokens: int, seconds: float) -> None:
        """So long it took to compute so many tokens: reading them from disk has to be faster than that."""
        if self._disk is not None:
            self._disk.prefill_rate.note(num_tokens, seconds)

    def clear(self) -> None:
        """Forget all that is in memory. What is on disk stays."""
        self.shrink(self.num_bytes)

    def flush(self, timeout_seconds: float) -> None:
        """Wait until what was inserted is on disk, but not longer than that."""
        if self._disk is not None:
            self._disk.disk.flush(timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Have what was inserted on disk, end the thread that writes, and forget all that is in memory."""
        if self._disk is not None:
            self._disk.disk.close(timeout_seconds)
        self.clear()

    def check(self) -> None:
        """Raises:
        AssertionError: the memory tier is not what it should be, or over its limit.
        """
        self._memory.check()

    def _insert_joined(
        self, token_ids: tuple[int, ...], caches: Sequence[Any], boundaries: Sequence[Boundary], *, move: bool
    ) -> int:
        def copied(spans: Sequence[Span]) -> list[KVSegment]:
            return KVSegment.pieces(caches, spans, move=move)

        cuts = [*(boundary.num_tokens for boundary in boundaries), *range(0, len(token_ids), PIECE_TOKENS)]
        if self._disk is not None:
            self._disk.keep(token_ids, caches)
        per_token = bytes_per_token(caches)
        fitting = token_ids[: self.limit_bytes // per_token]
        return self._memory.keep(fitting, per_token * len(fitting), copied, cuts)

    def _insert_state(self, token_ids: tuple[int, ...], caches: Sequence[Any]) -> int:
        """Of caches that cannot be cut, and hold another number of tokens than these, nothing can be kept."""
        held = num_cached_tokens(caches)
        fitting = trimmed(caches, held - len(token_ids)) if held is not None and held > len(token_ids) else list(caches)
        if not token_ids or not fitting or (held is not None and held < len(token_ids)):
            return 0
        state = Snapshot.of(fitting)
        num_new = self._memory.keep(token_ids, state.num_bytes, lambda spans: [state] * len(spans))
        if self._disk is not None:
            self._disk.keep_state(token_ids, state)
        return num_new

    def _restored(self, token_ids: tuple[int, ...], found: PrefixMatch[Kept]) -> Match | None:
        """A match beyond memory's, if there is one: read from disk, and from now on in memory too where it fits."""
        on_disk = self._disk.find_to_read(token_ids, found.num_tokens) if self._disk is not None else None
        if self._disk is None or on_disk is None:
            return None
        restored = dict(self._disk.restore(on_disk, found.num_tokens))
        if not restored:
            return None
        end = max(restored)
        payloads = [*(() if self.needs_snapshots else _cut(found)), *restored.values()]
        num_bytes = sum(part.num_bytes for part in payloads)
        is_kept = self._memory.keep(
            token_ids[:end], num_bytes, lambda spans: [restored[end] for _, end in spans], list(restored)
        )
        if not is_kept:
            restored.clear()  # so that the parts are the row's alone, and go as it is made
        caches = _new_caches(payloads, end, len(token_ids) + 1)
        reason = MissReason.ENDS
        if end == len(token_ids):
            reason = MissReason.NONE
        elif end == on_disk.num_tokens and on_disk.goes_on:
            reason = MissReason.DIFFERS
        return Match(end, caches, reason, end - found.num_tokens)

    def _reason(self, token_ids: tuple[int, ...], found: PrefixMatch[Kept]) -> MissReason:
        if found.num_tokens == len(token_ids):
            return MissReason.NONE
        if self._memory.is_empty and (self._disk is None or self._disk.disk.is_empty):
            return MissReason.EMPTY
        return (
            MissReason.DIFFERS
            if found.has_continuation and found.num_shared_tokens < len(token_ids)
            else MissReason.ENDS
        )


def _cut(found: PrefixMatch[Kept]) -> list[Kept]:
    """What was found, without what of the last part is another prompt's."""
    payloads = [part for part in found.payloads if isinstance(part, KVSegment)]
    before = sum(part.num_tokens for part in payloads[:-1])
    return [*payloads[:-1], *(last.part(0, found.num_tokens - before) for last in payloads[-1:])]


def _new_caches(payloads: list[Kept], num_tokens: int, room_tokens: int) -> list[Any]:
    """Caches of a request's own. The list is empty afterwards: what it alone had is gone as it was copied."""
    last = payloads[-1]
    if isinstance(last, Snapshot):
        return last.caches()
    parts = [part for part in payloads if isinstance(part, KVSegment)]
    payloads.clear()
    del last
    return join_emptying(parts, num_tokens, room_tokens=room_tokens)
