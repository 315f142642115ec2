"""The disk tier of the KV store: survives a restart, and a kill at any moment (C2).

Prompts are kept in blocks of 256 tokens, each named by a hash of itself and all before it, so that prompts share what
they have in common; what is left at the end is a shorter block of its own, until a longer one takes its place. States
that cannot be cut are kept whole, each a block that starts at the root.

Everything is written by one thread of the tier's own, from bytes that the caller copied. Nothing that happens to the
disk reaches the caller: a cache that cannot be written or read is a miss.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from pensieve.engine.kv.blocks import HostArray, KVBlock, key_of, keys_of_prefixes, root_key
from pensieve.engine.prompt_cache.disk.file import DamagedFileError, packed_header, read_block, write_block
from pensieve.engine.prompt_cache.disk.folder import KVFolder, StoredBlock

log = logging.getLogger(__name__)

BLOCK_TOKENS: Final = 256
QUEUE_BYTES: Final = 512 << 20
"""What may wait to be written. More is left out, and written when its prompt comes again."""


@dataclass(frozen=True, slots=True)
class DiskMatch:
    """The blocks that hold the first `num_tokens` of a prompt, in order; the last may reach beyond."""

    blocks: tuple[StoredBlock, ...] = ()
    num_tokens: int = 0
    goes_on: bool = False
    """Whether something stored goes on from there."""

    def num_bytes_after(self, num_tokens: int) -> int:
        """What has to be read to have the tokens after the first `num_tokens`."""
        total = end = 0
        for block in self.blocks:
            end += len(block.token_ids)
            total += block.num_bytes if end > num_tokens else 0
        return total


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """Where tokens from `start` to `end` of a prompt belong."""

    key: str
    parent: str
    start: int
    end: int
    is_state: bool = False
    """Whether it is not a block among others, but all that there is after `end` tokens."""


@dataclass(slots=True)
class _Job:
    blocks: list[KVBlock] = field(default_factory=list)
    used: list[str] = field(default_factory=list)


class DiskTier:
    """`folder` may be shared by processes and models; `fingerprint` is of all that this model's numbers depend on.

    `limit_bytes` is for all of the folder. Every method may be called from any thread.
    """

    def __init__(self, folder: Path, fingerprint: str, *, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._fingerprint = fingerprint
        self._root = root_key(fingerprint)
        self._files = KVFolder(folder)
        self._lock = threading.RLock()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._waiting: dict[str, int] = {}
        self._idle = threading.Condition(self._lock)
        self._num_jobs = 0
        self._has_warned = False
        self._writer: threading.Thread | None = None
        self._see_what_is_there()

    def _see_what_is_there(self) -> None:
        try:
            self._files.scan()
        except OSError as error:
            self._warn(error)
        if self._files.blocks:
            self.put([], [])  # the limit may be lower than it was

    @property
    def num_bytes(self) -> int:
        with self._lock:
            return self._files.num_bytes

    @property
    def is_empty(self) -> bool:
        """Whether nothing is stored for this fingerprint."""
        with self._lock:
            return self._root not in self._files.children

    def find(self, token_ids: Sequence[int]) -> DiskMatch:
        """The longest stored prefix of a prompt that is kept in blocks. Reads no file."""
        tokens = _as_array(token_ids)
        blocks: list[StoredBlock] = []
        parent, position = self._root, 0
        with self._lock:
            while True:
                block, shared = self._longest_child(parent, tokens[position:])
                if block is None:
                    return DiskMatch(tuple(blocks), position, parent in self._files.children)
                blocks.append(block)
                parent, position = block.key, position + shared
                if shared < len(block.token_ids):
                    return DiskMatch(tuple(blocks), position, goes_on=True)

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

    def find_state(self, token_ids: Sequence[int]) -> DiskMatch:
        """The longest stored state of which all tokens start a prompt. Reads no file."""
        tokens = _as_array(token_ids)
        with self._lock:
            states = self._files.children.get(self._root, {})
            lengths = sorted({len(block.token_ids) for block in states.values()})
            longest = DiskMatch()
            for length, key in keys_of_prefixes(self._root, tokens, lengths):
                if key in states:
                    longest = DiskMatch((states[key],), length)
        return longest

    def read(self, block: StoredBlock) -> KVBlock | None:
        """A block's content, or None if it is gone or damaged; then it is not found again."""
        try:
            content = read_block(block.path)
            if content.fingerprint != self._fingerprint:
                raise DamagedFileError(f"{block.path.name}: it is of another model")  # noqa: TRY301 - told once, below
        except DamagedFileError as error:
            with self._lock:
                self._files.set_aside(block.path, error)
            return None
        except OSError as error:
            with self._lock:
                self._files.forget(block.key)
            if not isinstance(error, FileNotFoundError):
                self._warn(error)
            return None
        return content

    def places(self, token_ids: Sequence[int]) -> list[BlockPlace]:
        """Where the blocks of a prompt belong, the shorter one at the end included."""
        tokens = _as_array(token_ids)
        places, parent = [], self._root
        for start in range(0, len(tokens), BLOCK_TOKENS):
            end = min(start + BLOCK_TOKENS, len(tokens))
            key = key_of(parent, tokens[start:end])
            places.append(BlockPlace(key, parent, start, end))
            parent = key
        return places

    def state_place(self, token_ids: Sequence[int]) -> BlockPlace:
        """Where a whole state after a prompt belongs."""
        return BlockPlace(key_of(self._root, _as_array(token_ids)), self._root, 0, len(token_ids), is_state=True)

    def wants(self, place: BlockPlace, token_ids: Sequence[int]) -> bool:
        """Whether a block is to be put there: its tokens are neither stored nor waiting to be."""
        with self._lock:
            if place.key in self._files.blocks or place.key in self._waiting:
                return False
            if place.is_state or place.end - place.start >= BLOCK_TOKENS:
                return True
            tokens = _as_array(token_ids[place.start : place.end])
            children = self._files.children.get(place.parent, {}).values()
            return all(block.num_shared(tokens) < len(tokens) for block in children)

    def has_room(self, num_bytes: int) -> bool:
        """Whether so much more may wait to be written, and may be stored at all."""
        with self._lock:
            return num_bytes <= self.limit_bytes and sum(self._waiting.values()) + num_bytes <= QUEUE_BYTES

    def put(self, blocks: Sequence[KVBlock], used: Sequence[str]) -> None:
        """Have blocks written, parents before children, and say which stored ones were `used`. Does not wait."""
        with self._lock:
            self._waiting.update({block.key: block.num_bytes for block in blocks})
            self._num_jobs += 1
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_all, name="pensieve-kv-writer", daemon=True)
                self._writer.start()
            self._jobs.put(_Job(list(blocks), list(used)))

    def new_block(
        self, place: BlockPlace, token_ids: Sequence[int], form: object, arrays: Sequence[HostArray]
    ) -> KVBlock:
        """What to put there, of a prompt's tokens and the bytes that were computed for them."""
        tokens = _as_array(token_ids[place.start : place.end])
        return KVBlock(self._fingerprint, place.parent, tokens, form, arrays, is_state=place.is_state)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait for what was put; whether it is written (or given up)."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._num_jobs, timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Flush, and end the thread once it has nothing to write."""
        self.flush(timeout_seconds)
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            self._jobs.put(None)
            writer.join(timeout_seconds)

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._write(job)
            except OSError as error:
                self._warn(error)
            except Exception:
                log.exception("a part of a prompt could not be kept on disk")
            with self._idle:
                for block in job.blocks:
                    self._waiting.pop(block.key, None)
                self._num_jobs -= 1
                self._idle.notify_all()

    def _write(self, job: _Job) -> None:
        with self._lock:
            for key in job.used:
                self._files.touch(key, time.time())
        if job.used and not job.blocks:
            return
        with self._files.locked():
            with self._lock:
                self._files.scan()
                self._files.make_room(0, self.limit_bytes)
            for block in job.blocks:
                if not self._write_block(block):
                    return  # what builds on it would never be found

    def _write_block(self, block: KVBlock) -> bool:
        header = packed_header(block)
        size = len(header) + block.num_bytes
        with self._lock:
            if block.key in self._files.blocks:
                return True
            if block.parent != self._root and block.parent not in self._files.blocks:
                return False
            if not self._files.make_room(size, self.limit_bytes, keep=self._files.line_of(block.parent)):
                return False
        path = write_block(self.folder, block, header)
        stored = StoredBlock(
            block.key, path, block.fingerprint, block.parent, block.token_ids, size, path.stat().st_mtime
        )
        with self._lock:
            self._files.add(stored)
            if not block.is_state:
                self._files.delete_replaced_by(stored)
        return True

    def _warn(self, error: OSError) -> None:
        """Once: a disk that is full stays so for a while."""
        if not self._has_warned:
            self._has_warned = True
            log.warning("prompts are not kept in %s for now: %s", self.folder, error)


def _as_array(token_ids: Sequence[int]) -> npt.NDArray[np.uint32]:
    return np.asarray(token_ids, np.uint32)
