"""Moves KV caches between arrays and the disk tier, where reading is faster than computing (C2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from pensieve.engine.kv.blocks import KVBlock
from pensieve.engine.kv.segments import KVSegment, bytes_per_token
from pensieve.engine.kv.snapshots import Snapshot
from pensieve.engine.prompt_cache.disk.tier import DiskMatch, DiskTier

log = logging.getLogger(__name__)

_DECAY: Final = 0.8
"""Each measurement multiplies the weight of the earlier ones by this."""
_NUM_READERS: Final = 4
_OPTIMISM: Final = 1.05
"""Each time a read is skipped, the read rate is assumed to be this much higher, so that one slow read does not prevent
all later ones.
"""


class Rate:
    """Units per second, weighting recent measurements most. None before the first."""

    def __init__(self) -> None:
        self._units = self._seconds = 0.0

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
    """Writes and reads KV segments or, with `needs_snapshots`, snapshots. `find` may be called from any thread."""

    def __init__(self, disk: DiskTier, *, needs_snapshots: bool) -> None:
        self.disk = disk
        self.prefill_rate = Rate()
        self.read_rate = Rate()
        self._needs_snapshots = needs_snapshots

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
        find = self.disk.find_snapshot if self._needs_snapshots else self.disk.find
        return find(token_ids, namespace)

    def _pays(self, match: DiskMatch, num_cached: int) -> bool:
        prefill, read = self.prefill_rate.per_second, self.read_rate.per_second
        if prefill is None or read is None:
            return True
        return match.num_bytes_after(num_cached) / read < (match.num_tokens - num_cached) / prefill

    def read(self, match: DiskMatch, num_cached: int) -> list[tuple[int, KVSegment | Snapshot]]:
        """The segments after the first `num_cached` tokens, or a snapshot, each with the position where it ends.

        It ends early at a file that is damaged or has been deleted.
        """
        began, num_bytes = time.perf_counter(), 0
        parts: list[tuple[int, KVSegment | Snapshot]] = []
        for start, end, block in self._blocks(match, num_cached):
            try:
                if not self._needs_snapshots:
                    first, last = max(num_cached - start, 0), min(end, match.num_tokens) - start
                    parts.append((start + last, KVSegment.from_block(block).part(first, last)))
                else:
                    parts.append((end, Snapshot.from_block(block)))
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

    def write_segments(self, token_ids: Sequence[int], caches: Sequence[Any], namespace: str) -> None:
        """Queue the blocks that are not on disk yet, from the prompt's start, as far as the queue has room."""
        places = self.disk.places(token_ids, namespace)
        per_token, num_bytes, blocks = bytes_per_token(caches), 0, []
        for place in places:
            if self.disk.wants(place, token_ids):
                num_bytes += per_token * (place.end - place.start)
                if not self.disk.has_room(num_bytes):
                    break
                form, arrays = KVSegment.to_host(caches, place.start, place.end)
                blocks.append(self.disk.new_block(place, token_ids, form, arrays))
        self.disk.put(blocks, [place.key for place in places])

    def write_snapshot(self, token_ids: Sequence[int], snapshot: Snapshot, namespace: str) -> None:
        """Queue a snapshot that is not on disk yet, if the queue has room."""
        place = self.disk.snapshot_place(token_ids, namespace)
        blocks = []
        if self.disk.wants(place, token_ids) and self.disk.has_room(snapshot.num_bytes):
            try:
                form, arrays = snapshot.to_host()
            except ValueError as error:
                log.debug("a prompt is kept in memory only: %s", error)
                return
            blocks.append(self.disk.new_block(place, token_ids, form, arrays))
        self.disk.put(blocks, [place.key])
