"""The disk tier of the prompt cache: it survives a restart, and a kill at any moment (C2).

Prompts are stored in blocks of 256 tokens. Each is named by a hash of its own tokens and all before them, so prompts
share their common blocks. The tokens left at the end form a shorter block, until a longer one replaces it.

A state that cannot be cut is a block of its own. It follows the blocks of those layers that can be cut, which all
states of a prompt share, and holds the tokens left at its end. A model without such layers has its states at the root.

Disk failures never reach the caller: a block that cannot be written or read is a miss.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
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
    is_state: bool = False
    """Whether it completes the state after `end` tokens."""


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
        whole = self._whole_child(parent, tokens)
        if whole is not None:
            return whole, BLOCK_TOKENS
        best: StoredBlock | None = None
        longest = 0
        for block in self._segments_after(parent):
            shared = block.num_shared(tokens)
            if shared > longest:
                best, longest = block, shared
        return best, longest

    def _whole_child(self, parent: str, tokens: npt.NDArray[np.uint32]) -> StoredBlock | None:
        if len(tokens) < BLOCK_TOKENS:
            return None
        block = self._files.blocks.get(key_of(parent, tokens[:BLOCK_TOKENS]))
        return None if block is None or block.is_state else block

    def _segments_after(self, parent: str) -> list[StoredBlock]:
        return [block for block in self._files.children.get(parent, {}).values() if not block.is_state]

    def find_state(self, token_ids: Sequence[int], namespace: str = "") -> DiskMatch:
        """The longest stored state whose tokens start a prompt, after the segments it needs. Reads no file."""
        tokens, parent = _as_array(token_ids), self._root(namespace)
        blocks: list[StoredBlock] = []
        longest = DiskMatch()
        with self._lock:
            while True:
                rest = tokens[len(blocks) * BLOCK_TOKENS :]
                states = {key: each for key, each in self._files.children.get(parent, {}).items() if each.is_state}
                key = _longest_of({key: len(each.token_ids) for key, each in states.items()}, parent, rest)
                if key is not None:
                    num_tokens = len(tokens) - len(rest) + len(states[key].token_ids)
                    longest = max(longest, DiskMatch((*blocks, states[key]), num_tokens), key=_num_tokens)
                segment = self._whole_child(parent, rest)
                if segment is None:
                    return longest
                blocks.append(segment)
                parent = segment.key

    def state_tokens(self, token_ids: Sequence[int], namespace: str = "") -> int:
        """The length of the longest state whose tokens start these, and which is stored or queued."""
        queued: dict[str, dict[str, int]] = {}
        for block in self._writer.queued():
            if block.is_state:
                queued.setdefault(block.parent, {})[block.key] = len(block.token_ids)
        tokens, longest = _as_array(token_ids), self.find_state(token_ids, namespace).num_tokens
        for place in self.places(token_ids, namespace, is_state=True) if queued else ():
            lengths = queued.get(place.parent, {})
            key = _longest_of(lengths, place.parent, tokens[place.start :])
            longest = max(longest, place.start + lengths[key] if key is not None else 0)
        return longest

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

    def places(self, token_ids: Sequence[int], namespace: str = "", *, is_state: bool = False) -> list[BlockPlace]:
        """All blocks of a prompt. The one at its end is shorter; with `is_state` it is a state's, and may be empty."""
        tokens = _as_array(token_ids)
        places, parent = [], self._root(namespace)
        for start in range(0, len(tokens) + is_state, BLOCK_TOKENS):
            end = min(start + BLOCK_TOKENS, len(tokens))
            key = key_of(parent, tokens[start:end])
            places.append(BlockPlace(key, parent, start, end, is_state=is_state and end - start < BLOCK_TOKENS))
            parent = key
        return places

    def place_at_root(self, token_ids: Sequence[int], namespace: str = "") -> BlockPlace:
        """The block of a state that needs no segments."""
        root = self._root(namespace)
        return BlockPlace(key_of(root, _as_array(token_ids)), root, 0, len(token_ids), is_state=True)

    def wants(self, place: BlockPlace, token_ids: Sequence[int]) -> bool:
        """Whether the tokens of this block are neither stored nor queued."""
        with self._lock:
            if self._files.has(place.key, is_state=place.is_state) or self._writer.is_queued(place.key):
                return False
            if place.is_state or place.end - place.start >= BLOCK_TOKENS:
                return True
            tokens = _as_array(token_ids[place.start : place.end])
            return all(block.num_shared(tokens) < len(tokens) for block in self._segments_after(place.parent))

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
        return KVBlock(self._fingerprint, place.parent, _as_array(token_ids[place.start : place.end]), form, arrays)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until the queue is empty. Return whether it is."""
        return self._writer.flush(timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Flush, and end the writing thread."""
        self._writer.close(timeout_seconds)


def _longest_of(lengths: Mapping[str, int], parent: str, tokens: npt.NDArray[np.uint32]) -> str | None:
    """Of blocks after `parent`, by their keys and lengths, the key of the longest that starts these tokens."""
    found = keys_of_prefixes(parent, tokens, sorted(set(lengths.values())))
    return max((pair for pair in found if pair[1] in lengths), default=(0, None))[1]


def _num_tokens(match: DiskMatch) -> int:
    return match.num_tokens


def _as_array(token_ids: Sequence[int]) -> npt.NDArray[np.uint32]:
    return np.asarray(token_ids, np.uint32)
