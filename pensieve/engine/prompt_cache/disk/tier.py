"""The disk tier of the prompt cache: it survives a restart, and a kill at any moment (C2).

Prompts are stored in blocks of 256 tokens. Each is named by a hash of its own tokens and all before them, so prompts
share their common blocks. The tokens left at the end form a shorter block, until a longer one replaces it. Snapshots,
which cannot be cut, are stored whole, each as a block that starts at the root.

Disk failures never reach the caller: a block that cannot be written or read is a miss.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pensieve.core.prefixes.worth import Worth
from pensieve.engine.kv.blocks import HostArray, KVBlock, key_of, keys_of_prefixes, root_key
from pensieve.engine.prompt_cache.disk.file import DamagedFileError, read_block
from pensieve.engine.prompt_cache.disk.folder import KVFolder, StoredBlock
from pensieve.engine.prompt_cache.disk.secret import secret_of
from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget
from pensieve.engine.prompt_cache.disk.writer import BlockWriter

log = logging.getLogger(__name__)

BLOCK_TOKENS: Final = 256


@dataclass(frozen=True, slots=True)
class DiskMatch:
    """The blocks of a prompt's first `num_tokens`, in order; the last may have more tokens than match."""

    blocks: tuple[StoredBlock, ...] = ()
    num_tokens: int = 0
    has_continuation: bool = False
    """Whether a stored prompt continues from there."""

    def num_bytes_after(self, num_tokens: int) -> int:
        """The bytes to read for the tokens after the first `num_tokens`."""
        total = end = 0
        for block in self.blocks:
            end += len(block.token_ids)
            total += block.num_bytes if end > num_tokens else 0
        return total


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """The block that the tokens from `start` to `end` of a prompt belong to."""

    key: str
    parent: str
    start: int
    end: int
    is_snapshot: bool = False
    """Whether it holds the whole state after `end` tokens."""


class DiskTier:
    """`folder` and its `limit_bytes` may be shared by processes and models. `fingerprint` covers everything that this
    model's KV depends on. `budget` limits what is written in a day. Every method may be called from any thread.
    """

    def __init__(self, folder: Path, fingerprint: str, *, limit_bytes: int, budget: WriteBudget | None = None) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._fingerprint = fingerprint
        self._roots: dict[str, str] = {}
        self._files = KVFolder(folder)
        self._lock = threading.RLock()
        budget, roots = budget or WriteBudget(folder), self._roots.values()
        self._writer = BlockWriter(self._files, self._lock, budget, roots=roots, limit_bytes=limit_bytes)
        try:
            self._files.scan()
        except OSError as error:
            self._writer.warn(error)
        self._secret = secret_of(self._files)
        if (unkeyed := root_key(fingerprint)) in self._files.children:
            self._roots[""] = unkeyed  # of an earlier version, whose names had no key
        if self._files.blocks:
            self.put([], [])  # the limit may be lower than at the last start

    @property
    def num_bytes(self) -> int:
        with self._lock:
            return self._files.num_bytes

    def _root(self, namespace: str) -> str:
        """The parent of the blocks that start a prompt. One namespace's blocks have no names in another."""
        with self._lock:
            root = self._roots.get(namespace)
            if root is None:
                root = self._roots[namespace] = root_key(self._fingerprint, self._secret, namespace)
            return root

    def is_empty(self, namespace: str = "") -> bool:
        """Whether nothing is stored under this fingerprint."""
        with self._lock:
            return self._root(namespace) not in self._files.children

    def find(self, token_ids: Sequence[int], namespace: str = "") -> DiskMatch:
        """The longest prefix that is stored in blocks. Reads no file."""
        tokens = _as_array(token_ids)
        blocks: list[StoredBlock] = []
        parent, position = self._root(namespace), 0
        with self._lock:
            while True:
                block, shared = self._longest_child(parent, tokens[position:])
                if block is None:
                    return DiskMatch(tuple(blocks), position, parent in self._files.children)
                blocks.append(block)
                parent, position = block.key, position + shared
                if shared < len(block.token_ids):
                    return DiskMatch(tuple(blocks), position, has_continuation=True)

    def _longest_child(self, parent: str, tokens: npt.NDArray[np.uint32]) -> tuple[StoredBlock | None, int]:
        whole = self._files.blocks.get(key_of(parent, tokens[:BLOCK_TOKENS])) if len(tokens) >= BLOCK_TOKENS else None
        if whole is not None:
            return whole, BLOCK_TOKENS
        best: StoredBlock | None = None
        longest = 0
        for block in self._files.children.get(parent, {}).values():
            shared = block.num_shared(tokens)
            if shared > longest:
                best, longest = block, shared
        return best, longest

    def find_snapshot(self, token_ids: Sequence[int], namespace: str = "") -> DiskMatch:
        """The longest stored snapshot that is a prefix of a prompt. Reads no file."""
        tokens, root = _as_array(token_ids), self._root(namespace)
        with self._lock:
            snapshots = self._files.children.get(root, {})
            lengths = sorted({len(block.token_ids) for block in snapshots.values()})
            longest = DiskMatch()
            for length, key in keys_of_prefixes(root, tokens, lengths):
                if key in snapshots:
                    longest = DiskMatch((snapshots[key],), length)
        return longest

    def snapshot_tokens(self, token_ids: Sequence[int], namespace: str = "") -> int:
        """The length of the longest snapshot that is a prefix of these tokens and is stored or queued."""
        queued = [block for block in self._writer.queued() if block.is_state]
        keys = {block.key for block in queued}
        lengths = sorted({len(block.token_ids) for block in queued})
        found = keys_of_prefixes(self._root(namespace), _as_array(token_ids), lengths)
        longest_queued = max((length for length, key in found if key in keys), default=0)
        return max(longest_queued, self.find_snapshot(token_ids, namespace).num_tokens)

    def read(self, block: StoredBlock) -> KVBlock | None:
        """A block's content, or None if it is gone or damaged; it is not found again then."""
        try:
            content = read_block(block.path)
            if content.fingerprint != self._fingerprint:
                raise DamagedFileError(f"{block.path.name}: it belongs to another model")  # noqa: TRY301 - handled below
        except DamagedFileError as error:
            with self._lock:
                self._files.set_aside(block.path, error)
            return None
        except OSError as error:
            with self._lock:
                self._files.forget(block.key)
            if not isinstance(error, FileNotFoundError):
                self._writer.warn(error)
            return None
        return content

    def places(self, token_ids: Sequence[int], namespace: str = "") -> list[BlockPlace]:
        """All blocks of a prompt, with the shorter one at its end."""
        tokens = _as_array(token_ids)
        places, parent = [], self._root(namespace)
        for start in range(0, len(tokens), BLOCK_TOKENS):
            end = min(start + BLOCK_TOKENS, len(tokens))
            key = key_of(parent, tokens[start:end])
            places.append(BlockPlace(key, parent, start, end))
            parent = key
        return places

    def snapshot_place(self, token_ids: Sequence[int], namespace: str = "") -> BlockPlace:
        root = self._root(namespace)
        return BlockPlace(key_of(root, _as_array(token_ids)), root, 0, len(token_ids), is_snapshot=True)

    def wants(self, place: BlockPlace, token_ids: Sequence[int]) -> bool:
        """Whether the tokens of this block are neither stored nor queued."""
        with self._lock:
            if place.key in self._files.blocks or self._writer.is_queued(place.key):
                return False
            if place.is_snapshot or place.end - place.start >= BLOCK_TOKENS:
                return True
            tokens = _as_array(token_ids[place.start : place.end])
            children = self._files.children.get(place.parent, {}).values()
            return all(block.num_shared(tokens) < len(tokens) for block in children)

    @property
    def queued_bytes(self) -> int:
        """What waits to be written, in memory outside MLX."""
        return self._writer.queued_bytes

    def drop_queued(self) -> int:
        """Give up what waits to be written. Return the bytes freed."""
        return self._writer.drop_queued()

    def may_write(self, num_bytes: int, worth: Worth, *, waiting_bytes: int) -> bool:
        """Whether the limit and the day's writes leave room for this, after `waiting_bytes`."""
        return self._writer.may_write(num_bytes, worth, waiting_bytes=waiting_bytes)

    def put(self, blocks: Sequence[tuple[KVBlock, Worth]], used: Sequence[str]) -> None:
        """Queue blocks to be written, parents before children, and mark stored ones as `used`. Does not wait."""
        self._writer.put(blocks, used)

    def new_block(
        self, place: BlockPlace, token_ids: Sequence[int], form: object, arrays: Sequence[HostArray]
    ) -> KVBlock:
        """`form` and `arrays` are those of the caches, as `to_host` returns them."""
        tokens = _as_array(token_ids[place.start : place.end])
        return KVBlock(self._fingerprint, place.parent, tokens, form, arrays, is_state=place.is_snapshot)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until the queue is empty. Return whether it is."""
        return self._writer.flush(timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Flush, and end the writing thread."""
        self._writer.close(timeout_seconds)


def _as_array(token_ids: Sequence[int]) -> npt.NDArray[np.uint32]:
    return np.asarray(token_ids, np.uint32)
