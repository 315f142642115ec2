"""What goes between arrays and the disk tier, and when it pays (C2): reading must be faster than computing."""

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

_FORGETTING: Final = 0.8
"""What is left of a measurement's weight at the next one."""
_NUM_READERS: Final = 4
_PATIENCE: Final = 1.05
"""A restore that was not done is taken for that much faster the next time: one slow moment does not last for ever."""


class Rate:
    """Units a second, the latest measurements counting most. None before the first."""

    def __init__(self) -> None:
        self._units = self._seconds = 0.0

    def note(self, units: float, seconds: float) -> None:
        if units > 0 and seconds > 0:
            self._units = self._units * _FORGETTING + units
            self._seconds = self._seconds * _FORGETTING + seconds

    def hope(self) -> None:
        self._seconds /= _PATIENCE

    @property
    def per_second(self) -> float | None:
        return self._units / self._seconds if self._seconds else None


class DiskTransfer:
    """Keys, values and states on their way to the disk and back. `find` may be called from any thread."""

    def __init__(self, disk: DiskTier, *, joined: bool) -> None:
        self.disk = disk
        self.prefill_rate = Rate()
        self.restore_rate = Rate()
        self._joined = joined

    def find(self, token_ids: Sequence[int], num_known: int) -> DiskMatch | None:
        """What is on disk beyond the first `num_known` tokens, where it is faster to read than to compute."""
        match = self._longest(token_ids)
        return match if match.num_tokens > num_known and self._pays(match, num_known) else None

    def find_to_read(self, token_ids: Sequence[int], num_known: int) -> DiskMatch | None:
        """The same for one who means to read it: what is not worth it now may be some day."""
        match = self._longest(token_ids)
        if match.num_tokens <= num_known:
            return None
        if not self._pays(match, num_known):
            self.restore_rate.hope()
            return None
        return match

    def _longest(self, token_ids: Sequence[int]) -> DiskMatch:
        return self.disk.find(token_ids) if self._joined else self.disk.find_state(token_ids)

    def _pays(self, match: DiskMatch, num_known: int) -> bool:
        prefill, restore = self.prefill_rate.per_second, self.restore_rate.per_second
        if prefill is None or restore is None:
            return True
        return match.num_bytes_after(num_known) / restore < (match.num_tokens - num_known) / prefill

    def restore(self, match: DiskMatch, num_known: int) -> list[tuple[int, KVSegment | Snapshot]]:
        """What comes after the first `num_known` tokens, each part with where in the prompt it ends; or a whole state.

        It ends early where a file turns out to be damaged or gone.
        """
        began, num_bytes = time.perf_counter(), 0
        parts: list[tuple[int, KVSegment | Snapshot]] = []
        for start, end, block in self._blocks(match, num_known):
            try:
                if self._joined:
                    first, last = max(num_known - start, 0), min(end, match.num_tokens) - start
                    parts.append((start + last, KVSegment.from_block(block).part(first, last)))
                else:
                    parts.append((end, Snapshot.from_block(block)))
            except ValueError:
                log.warning("a part of a prompt on disk is of another form than its model's; it is computed again")
                break
            num_bytes += block.num_bytes
        self.restore_rate.note(num_bytes, time.perf_counter() - began)
        self.disk.put([], [block.key for block in match.blocks])
        return parts

    def _blocks(self, match: DiskMatch, num_known: int) -> Iterator[tuple[int, int, KVBlock]]:
        """The blocks that hold something unknown, with where they start and end; until one cannot be read.

        Several are read and checked at once: sums take longer than reading does.
        """
        wanted, end = [], 0
        for stored in match.blocks:
            start, end = end, end + len(stored.token_ids)
            if end > num_known:
                wanted.append((start, end, stored))
        with ThreadPoolExecutor(_NUM_READERS, "pensieve-kv-reader") as pool:
            for first in range(0, len(wanted), _NUM_READERS):
                some = wanted[first : first + _NUM_READERS]
                for (start, end, _), block in zip(
                    some, pool.map(self.disk.read, [each[2] for each in some]), strict=True
                ):
                    if block is None:
                        return
                    yield start, end, block

    def keep(self, token_ids: Sequence[int], caches: Sequence[Any]) -> None:
        """Have what is not on disk yet written: as much from the prompt's start as the queue has room for."""
        places = self.disk.places(token_ids)
        per_token, num_bytes, blocks = bytes_per_token(caches), 0, []
        for place in places:
            if self.disk.wants(place, token_ids):
                num_bytes += per_token * (place.end - place.start)
                if not self.disk.has_room(num_bytes):
                    break
                form, arrays = KVSegment.to_host(caches, place.start, place.end)
                blocks.append(self.disk.new_block(place, token_ids, form, arrays))
        self.disk.put(blocks, [place.key for place in places])

    def keep_state(self, token_ids: Sequence[int], state: Snapshot) -> None:
        """Have a state written, if it is not on disk yet and the queue has room for it."""
        place = self.disk.state_place(token_ids)
        blocks = []
        if self.disk.wants(place, token_ids) and self.disk.has_room(state.num_bytes):
            try:
                form, arrays = state.to_host()
            except ValueError as error:
                log.debug("a prompt is kept in memory alone: %s", error)
                return
            blocks.append(self.disk.new_block(place, token_ids, form, arrays))
        self.disk.put(blocks, [place.key])
