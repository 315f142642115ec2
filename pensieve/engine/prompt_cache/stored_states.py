"""What is stored of models with caches that cannot be cut: snapshots, and segments of the layers that can be (C2).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pensieve.core.prefixes.node import PrefixMatch
from pensieve.core.prefixes.worth import PromptWorth
from pensieve.engine.kv.segments import KVSegment
from pensieve.engine.kv.separation import Separated
from pensieve.engine.kv.snapshots import Snapshot
from pensieve.engine.prompt_cache.disk.tier import DiskMatch
from pensieve.engine.prompt_cache.disk.transfer import BlockSource, DiskTransfer
from pensieve.engine.prompt_cache.memory_tier import SEGMENT_TOKENS, CachedKV, Contents, MemoryTier
from pensieve.engine.prompt_cache.restoring import cut_to, matching_segments, new_caches, segments_of


class StoredStates:
    """In memory and on disk, the states of a prompt share segments. `template` are empty caches of the model."""

    def __init__(self, template: Sequence[Any], memory: MemoryTier, disk: DiskTransfer | None) -> None:
        self._template = template
        self._memory = memory
        self._disk = disk

    def insert(
        self,
        token_ids: tuple[int, ...],
        caches: Sequence[Any],
        worth: PromptWorth,
        namespace: str,
        *,
        in_memory_only: bool,
    ) -> int:
        """Insert caches after these tokens. Return the number of tokens that were not in memory before."""
        fitting = cut_to(caches, len(token_ids))
        if not fitting:
            return 0
        separated = Separated.of(fitting)
        snapshot = Snapshot.of(separated.others)
        num_new = self._insert_in_memory(token_ids, separated, snapshot, namespace)
        if self._disk is not None and not in_memory_only:
            copied = partial(KVSegment.to_host, separated.growing)
            source = BlockSource(token_ids, namespace, copied, separated.bytes_per_token)
            self._disk.write_state(source, snapshot, worth)
        return num_new

    def _insert_in_memory(
        self, token_ids: tuple[int, ...], separated: Separated, snapshot: Snapshot, namespace: str
    ) -> int:
        contents = Contents(separated.bytes_per_token * len(token_ids), separated.segments, snapshot)
        cuts = range(SEGMENT_TOKENS, len(token_ids), SEGMENT_TOKENS)
        return self._memory.insert(token_ids, contents, cuts, namespace=namespace)

    def read(
        self, token_ids: tuple[int, ...], found: PrefixMatch[CachedKV], on_disk: DiskMatch, namespace: str
    ) -> list[Any] | None:
        """Caches of a state on disk, which is in memory from now on, if it fits. None if it cannot be read."""
        end = on_disk.num_tokens
        payloads = self._disk.read_state(on_disk, found.num_tokens) if self._disk is not None else []
        if not payloads:
            return None
        if not _is_whole(payloads[-1]):
            payloads[:0] = matching_segments(found)
        caches = new_caches(self._template, payloads, end, len(token_ids) + 1)
        separated = Separated.of(caches)
        self._insert_in_memory(token_ids[:end], separated, Snapshot.of(separated.others), namespace)
        return caches

    def write(
        self,
        token_ids: tuple[int, ...],
        payloads: Sequence[CachedKV],
        worth: PromptWorth,
        namespace: str,
        *,
        is_due: bool,
    ) -> None:
        """Queue a state that is in memory to be written, if it is worth it (`DiskTransfer.write_state`)."""
        snapshot = payloads[-1]
        if self._disk is not None and isinstance(snapshot, Snapshot):
            source = BlockSource.of(token_ids, namespace, segments_of(payloads))
            self._disk.write_state(source, snapshot, worth, is_due=is_due)


def _is_whole(state: CachedKV) -> bool:
    return isinstance(state, Snapshot) and state.is_whole
