"""What is stored of models with caches that cannot be cut: snapshots, and segments of the layers that can be (C2).

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from pensieve.core.prefixes.worth import PromptWorth
from pensieve.engine.kv.rows.forms import without_rows
from pensieve.engine.kv.separation import Separated
from pensieve.engine.kv.snapshots import Snapshot
from pensieve.engine.prompt_cache.disk.transfer import DiskTransfer, LazySnapshot
from pensieve.engine.prompt_cache.memory_tier import SEGMENT_TOKENS, CachedKV, Contents, MemoryTier
from pensieve.engine.prompt_cache.restoring import cut_to, new_caches


class StoredStates:
    """In memory, the snapshots of a prompt share segments. On disk, where there are fewer, each is whole.

    `template` are empty caches of the model.
    """

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
        num_new, num_bytes = self.insert_in_memory(token_ids, fitting, namespace)
        if self._disk is not None and not in_memory_only:
            whole = LazySnapshot(num_bytes, partial(Snapshot.of, fitting))
            self._disk.write_snapshot(token_ids, whole, worth, namespace)
        return num_new

    def insert_in_memory(self, token_ids: tuple[int, ...], caches: Sequence[Any], namespace: str) -> tuple[int, int]:
        """Return the number of tokens that are new, and the bytes of the whole state."""
        separated = Separated.of(caches)
        snapshot, num_bytes = Snapshot.of(separated.others), separated.bytes_per_token * len(token_ids)
        contents = Contents(num_bytes, separated.segments, snapshot)
        cuts = range(SEGMENT_TOKENS, len(token_ids), SEGMENT_TOKENS)
        return self._memory.insert(token_ids, contents, cuts, namespace=namespace), num_bytes + snapshot.num_bytes

    def write(
        self,
        token_ids: tuple[int, ...],
        payloads: Sequence[CachedKV],
        worth: PromptWorth,
        namespace: str,
        *,
        is_due: bool,
    ) -> None:
        """Queue a state that is in memory to be written, if it is worth it (`DiskTransfer.write_snapshot`)."""
        if self._disk is not None:
            num_bytes = sum(part.num_bytes for part in payloads)
            whole = LazySnapshot(num_bytes, partial(self._whole, payloads, len(token_ids)))
            self._disk.write_snapshot(token_ids, whole, worth, namespace, is_due=is_due)

    def _whole(self, payloads: Sequence[CachedKV], num_tokens: int) -> Snapshot:
        return Snapshot.of(without_rows(new_caches(self._template, list(payloads), num_tokens, 0)))
