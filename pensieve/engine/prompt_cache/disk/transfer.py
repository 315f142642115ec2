"""Moves KV caches between arrays and the disk tier, where reading is faster than computing (C2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from pensieve.core.prefixes.worth import MIN_TOKENS, PromptWorth, Worth, is_snapshot_due
from pensieve.engine.kv.blocks import HostArray, KVBlock
from pensieve.engine.kv.segments import KVSegment, bytes_per_token
from pensieve.engine.kv.separation import StateBlock, storable
from pensieve.engine.kv.snapshots import Snapshot
from pensieve.engine.prompt_cache.disk.tier import BLOCK_TOKENS, BlockPlace, DiskMatch, DiskTier

log = logging.getLogger(__name__)

Restored = TypeVar("Restored")

QUEUE_BYTES: Final = 512 << 20
"""The limit of what may wait to be written. More is skipped, and written when its prompt comes again."""
_DECAY: Final = 0.8
"""Each measurement multiplies the weight of the earlier ones by this."""
_NUM_READERS: Final = 4
_EXPECTED_READ_RATE: Final = 1.2e9
"""Bytes per second before the first read: four readers, their checksums and the copies to an H200 came to that."""
_EXPECTED_SECONDS: Final = 0.01
"""The weight of that expectation: a read that takes longer than this counts more."""
_OPTIMISM: Final = 1.05
"""Each time a read is skipped, the read rate is assumed to be this much higher, so that one slow read does not prevent
all later ones.
"""


class Rate:
    """Units per second, weighting recent measurements most. Before the first it is what is `expected`."""

    def __init__(self, expected: float = 0.0) -> None:
        self._seconds = _EXPECTED_SECONDS if expected else 0.0
        self._units = self._seconds * expected

    def note(self, units: float, seconds: float) -> None:
        if units > 0 and seconds > 0:
            self._units = self._units * _DECAY + units
            self._seconds = self._seconds * _DECAY + seconds

    def assume_faster(self) -> None:
        self._seconds /= _OPTIMISM

    @property
    def per_second(self) -> float | None:
        return self._units / self._seconds if self._seconds else None


class DiskTransfer:
    """Writes and reads KV segments or, with `needs_snapshots`, snapshots. `find` may be called from any thread.

    `kinds` are the classes of the model's caches.
    """

    def __init__(self, disk: DiskTier, *, needs_snapshots: bool, kinds: Collection[type] = ()) -> None:
        self.disk = disk
        self.prefill_rate = Rate()
        self.read_rate = Rate(_EXPECTED_READ_RATE)
        self.max_queued_bytes = QUEUE_BYTES
        self._needs_snapshots = needs_snapshots
        self._kinds = frozenset(kinds)

    def find(self, token_ids: Sequence[int], num_cached: int, namespace: str) -> DiskMatch | None:
        """A match longer than the `num_cached` tokens in memory, if reading the rest is faster than computing it."""
        match = self._longest(token_ids, namespace)
        return match if match.num_tokens > num_cached and self._pays(match, num_cached) else None

    def find_to_read(self, token_ids: Sequence[int], num_cached: int, namespace: str) -> DiskMatch | None:
        """Like `find`, for a caller that reads the match. A match that is too slow now may be worth reading later."""
        match = self._longest(token_ids, namespace)
        if match.num_tokens <= num_cached:
            return None
        if not self._pays(match, num_cached):
            self.read_rate.assume_faster()
            return None
        return match

    def _longest(self, token_ids: Sequence[int], namespace: str) -> DiskMatch:
        find = self.disk.find_state if self._needs_snapshots else self.disk.find
        return find(token_ids, namespace)

    def _pays(self, match: DiskMatch, num_cached: int) -> bool:
        return self._reads_faster(match.num_bytes_after(num_cached), match.num_tokens - num_cached)

    def _reads_faster(self, num_bytes: int, num_tokens: int) -> bool:
        """Whether reading these bytes takes less time than computing these tokens. It does until that is measured."""
        prefill, read = self.prefill_rate.per_second, self.read_rate.per_second
        return prefill is None or read is None or num_bytes / read < num_tokens / prefill

    def read(self, match: DiskMatch, num_cached: int) -> list[tuple[int, KVSegment]]:
        """The segments after the first `num_cached` tokens, each with the position where it ends.

        It ends early at a file that is damaged or has been deleted.
        """
        segments = []
        for start, end, segment in self._read(match, num_cached, KVSegment.from_block):
            first, last = max(num_cached - start, 0), min(end, match.num_tokens) - start
            segments.append((start + last, segment.part(first, last)))
        return segments

    def read_state(self, match: DiskMatch, num_cached: int) -> list[KVSegment | Snapshot]:
        """The segments after the first `num_cached` tokens, then the snapshot. Nothing if a file is damaged or gone."""
        parts: list[KVSegment | Snapshot] = []
        for start, end, (segment, snapshot) in self._read(match, num_cached, self._state_or_segment):
            if segment is not None:
                parts.append(segment.part(max(num_cached - start, 0), end - start))
            if snapshot is not None:
                return [*parts, snapshot]
        return []

    def _state_or_segment(self, block: KVBlock) -> StateBlock | tuple[KVSegment, None]:
        return StateBlock.from_block(block, self._kinds) if block.is_state else (KVSegment.from_block(block), None)

    def _read(
        self, match: DiskMatch, num_cached: int, restored: Callable[[KVBlock], Restored]
    ) -> list[tuple[int, int, Restored]]:
        """With the start and end of each block, up to the first that cannot be restored."""
        began, num_bytes = time.perf_counter(), 0
        parts: list[tuple[int, int, Restored]] = []
        for start, end, block in self._blocks(match, num_cached):
            try:
                parts.append((start, end, restored(block)))
            except ValueError:
                log.warning("a block on disk does not have the form of the model's caches; it is computed again")
                break
            num_bytes += block.num_bytes
        self.read_rate.note(num_bytes, time.perf_counter() - began)
        self.disk.put([], [block.key for block in match.blocks])
        return parts

    def _blocks(self, match: DiskMatch, num_cached: int) -> Iterator[tuple[int, int, KVBlock]]:
        """The blocks with tokens beyond `num_cached`, with their start and end, up to the first that cannot be read.

        Several are read at once, because verifying checksums takes longer than reading.
        """
        needed, end = [], 0
        for stored in match.blocks:
            start, end = end, end + len(stored.token_ids)
            if end > num_cached:
                needed.append((start, end, stored))
        with ThreadPoolExecutor(_NUM_READERS, "pensieve-kv-reader") as pool:
            for first in range(0, len(needed), _NUM_READERS):
                chunk = needed[first : first + _NUM_READERS]
                for (start, end, _), block in zip(
                    chunk, pool.map(self.disk.read, [each[2] for each in chunk]), strict=True
                ):
                    if block is None:
                        return
                    yield start, end, block

    def write_caches(self, token_ids: Sequence[int], caches: Sequence[Any], worth: PromptWorth, namespace: str) -> None:
        """Queue the whole blocks of a prompt that are not on disk yet, from its start, as far as there is room.

        The shorter block at the end is left out, since the next turn would replace it, and so is a short prompt before
        its second use: `write_end` writes them.
        """
        source = BlockSource(token_ids, namespace, partial(KVSegment.to_host, caches), bytes_per_token(caches))
        self._write_segments(source, worth, is_last=False)

    def write_end(
        self, token_ids: Sequence[int], segments: Sequence[KVSegment], worth: PromptWorth, namespace: str
    ) -> None:
        """Queue what is not on disk yet of a prompt that will not grow any more in this process."""
        if len(token_ids) < MIN_TOKENS:
            return
        self._write_segments(BlockSource.of(token_ids, namespace, segments), worth, is_last=True)

    def _write_segments(self, source: BlockSource, worth: PromptWorth, *, is_last: bool) -> None:
        places = self.disk.places(source.token_ids, source.namespace)
        blocks: list[tuple[KVBlock, Worth]] = []
        room = _Room(self.disk, self.max_queued_bytes)
        for place in places if self._is_worth_reading(source.bytes_per_token, 1) else ():
            if not self.disk.wants(place, source.token_ids):
                continue
            kind, num_tokens = worth.of(place.end), place.end - place.start
            waits = kind is Worth.SHORT or num_tokens < BLOCK_TOKENS
            if (waits and not is_last) or not room.take(source.bytes_per_token * num_tokens, kind):
                break
            form, arrays = source.copied(place.start, place.end)
            blocks.append((self.disk.new_block(place, source.token_ids, form, arrays), kind))
        self.disk.put(blocks, [place.key for place in places])

    def write_state(self, source: BlockSource, snapshot: Snapshot, worth: PromptWorth, *, is_due: bool = False) -> None:
        """Queue a state that is not on disk yet, after the segments that it needs and that are not, if it is due.

        With `is_due` it is, if it is long enough: a second prompt continues from it, or the process ends. If there is
        room for the first of the segments only, they are written now, and the rest when the prompt comes again.
        """
        token_ids, namespace = source.token_ids, source.namespace
        if source.bytes_per_token:
            places = self.disk.places(token_ids, namespace, is_state=True)
        else:
            places = [self.disk.place_at_root(token_ids, namespace)]
        wanted = [place for place in places if self.disk.wants(place, token_ids)]
        num_stored = self.disk.state_tokens(token_ids, namespace)
        num_bytes = source.bytes_per_token * (len(token_ids) - num_stored) + snapshot.num_bytes
        if is_due:
            is_due = len(token_ids) >= MIN_TOKENS
        else:
            is_due = is_snapshot_due(len(token_ids), num_stored, snapshot.num_bytes, source.bytes_per_token)
        blocks = []
        if wanted and is_due and self._is_worth_reading(num_bytes, len(token_ids) - num_stored):
            blocks = self._state_blocks(source, snapshot, wanted, worth.of(len(token_ids)))
        self.disk.put(blocks, [place.key for place in places])

    def _state_blocks(
        self, source: BlockSource, snapshot: Snapshot, places: Sequence[BlockPlace], worth: Worth
    ) -> list[tuple[KVBlock, Worth]]:
        room, blocks = _Room(self.disk, self.max_queued_bytes), []
        try:
            snapshot = storable(snapshot, self._kinds)
        except ValueError as error:
            log.debug("a prompt is kept in memory only: %s", error)
            return []
        for place in places:
            num_bytes = source.bytes_per_token * (place.end - place.start)
            if not room.take(num_bytes + (snapshot.num_bytes if place.is_state else 0), worth):
                break
            contents = source.copied(place.start, place.end) if num_bytes else None
            form, arrays = (
                contents if contents and not place.is_state else StateBlock.to_host(contents, snapshot, self._kinds)
            )
            blocks.append((self.disk.new_block(place, source.token_ids, form, arrays), worth))
        return blocks

    def _is_worth_reading(self, num_bytes: int, num_tokens: int) -> bool:
        """What would take longer to read than to compute is not written."""
        if self._reads_faster(num_bytes, num_tokens):
            return True
        self.read_rate.assume_faster()
        return False


class BlockSource(NamedTuple):
    """A prompt, and where the KV is of its layers that can be cut: `copied` returns the form and arrays of a block from
    its start and end.
    """

    token_ids: Sequence[int]
    namespace: str
    copied: Callable[[int, int], tuple[Any, list[HostArray]]]
    bytes_per_token: int

    @classmethod
    def of(cls, token_ids: Sequence[int], namespace: str, segments: Sequence[KVSegment]) -> BlockSource:
        per_token = segments[0].num_bytes // segments[0].num_tokens if segments else 0
        return cls(token_ids, namespace, partial(KVSegment.joined_to_host, segments), per_token)


class _Room:
    """What the blocks of one prompt may still take of the queue, of the disk and of the day's writes."""

    def __init__(self, disk: DiskTier, max_queued_bytes: int) -> None:
        self._disk = disk
        self._max_bytes = min(max_queued_bytes, QUEUE_BYTES)
        self._waiting_bytes = disk.queued_bytes

    def take(self, num_bytes: int, worth: Worth) -> bool:
        fits = self._waiting_bytes + num_bytes <= self._max_bytes
        if not fits or not self._disk.may_write(num_bytes, worth, waiting_bytes=self._waiting_bytes):
            return False
        self._waiting_bytes += num_bytes
        return True
