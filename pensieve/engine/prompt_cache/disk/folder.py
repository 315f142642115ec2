"""The folder of the disk tier: an index of its files, eviction when it is full, and a place for damaged files (C2).

Several processes may share it. A file appears by a rename and never changes, so reading needs no lock. Writing and
evicting hold a file lock, which the operating system releases when a process dies. Other processes' changes are seen at
the next `scan`; a file that has been deleted when it is to be read is a miss.
"""

from __future__ import annotations

import contextlib
import heapq
import logging
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from pensieve.core.prefixes.common_prefix import common_prefix
from pensieve.engine.kv.blocks import is_state
from pensieve.engine.prompt_cache.disk.file import SUFFIX, TEMPORARY_PREFIX, DamagedFileError, Header, read_header
from pensieve.models.files.home import private_folder

log = logging.getLogger(__name__)

KV_FOLDER: Final = "kv"
"""In PENSIEVE_HOME."""
SET_ASIDE: Final = "set-aside"
MAX_SET_ASIDE: Final = 8
"""The number of damaged files to keep for inspection. The oldest are deleted first."""
_LOCK: Final = ".lock"
_LOCK_SECONDS: Final = 30.0


@dataclass(slots=True, eq=False)
class StoredBlock:
    """A file of the folder. `num_bytes` is its size, `used_at` its modification time in seconds since 1970."""

    key: str
    path: Path
    fingerprint: str
    parent: str
    token_ids: npt.NDArray[np.uint32]
    num_bytes: int
    used_at: float
    is_state: bool = False

    def num_shared(self, token_ids: npt.NDArray[np.uint32]) -> int:
        """The number of leading tokens that this block and `token_ids` have in common."""
        return common_prefix(self.token_ids.data, token_ids.data)


class KVFolder:
    """An index of the folder's files. Not thread-safe."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks: dict[str, StoredBlock] = {}
        self.children: dict[str, dict[str, StoredBlock]] = {}
        """By the parent's key, then by the block's own."""

    @property
    def num_bytes(self) -> int:
        """Of the blocks, without the damaged files."""
        return sum(block.num_bytes for block in self.blocks.values())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock for writing and evicting.

        Raises:
            OSError: the folder cannot be written, or another process has held the lock for 30 seconds.
        """
        private_folder(self.path)
        with FileLock(self.path / _LOCK, timeout=_LOCK_SECONDS):
            yield

    def scan(self) -> None:
        """Update the index from the folder. Damaged and foreign files are set aside."""
        found: set[str] = set()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    found.add(entry.name.removesuffix(SUFFIX))
                    self._index(entry)
        for key in self.blocks.keys() - found:
            self.forget(key)

    def _index(self, entry: os.DirEntry[str]) -> None:
        key, path = entry.name.removesuffix(SUFFIX), self.path / entry.name
        try:
            block = self.blocks.get(key)
            if block is not None:
                block.used_at = entry.stat(follow_symlinks=False).st_mtime
                return
            if not entry.is_file(follow_symlinks=False):
                raise DamagedFileError(f"{entry.name}: not a regular file")  # noqa: TRY301 - handled below
            self.add(_stored(read_header(path), path, entry.stat().st_mtime))
        except DamagedFileError as error:
            self.set_aside(path, error)
        except OSError:
            log.debug("%s cannot be read or has been deleted", path, exc_info=True)

    def add(self, block: StoredBlock) -> None:
        self.blocks[block.key] = block
        self.children.setdefault(block.parent, {})[block.key] = block

    def has(self, key: str, *, is_state: bool) -> bool:
        """A whole state of earlier versions may have the name of a segment of its tokens: that is not the segment."""
        block = self.blocks.get(key)
        return block is not None and block.is_state == is_state

    def forget(self, key: str) -> None:
        block = self.blocks.pop(key, None)
        if block is not None:
            siblings = self.children[block.parent]
            del siblings[key]
            if not siblings:
                del self.children[block.parent]

    def touch(self, key: str, now: float) -> None:
        """Mark a block as used now, so that others are evicted before it."""
        block = self.blocks.get(key)
        if block is not None:
            block.used_at = now
            with contextlib.suppress(OSError):  # the folder may be read-only, or the file deleted
                os.utime(block.path, (now, now))

    def delete(self, key: str) -> int:
        """Return the bytes freed."""
        block = self.blocks.get(key)
        if block is None:
            return 0
        block.path.unlink(missing_ok=True)
        self.forget(key)
        return block.num_bytes

    def set_aside(self, path: Path, why: Exception) -> None:
        """Move a damaged file away and remove it from the index. If it cannot be moved, removing it suffices."""
        log.warning("%s; it is put aside and will be computed again when needed", why)
        self.forget(path.name.removesuffix(SUFFIX))
        try:
            aside = self.path / SET_ASIDE
            aside.mkdir(exist_ok=True)
            path.replace(aside / path.name)
            for old in self._aside()[:-MAX_SET_ASIDE]:
                _delete(old)
        except OSError:
            log.debug("%s cannot be put aside", path, exc_info=True)

    def make_room(self, num_bytes: int, limit_bytes: int, *, keep: Collection[str] = ()) -> bool:
        """Delete files other than `keep` until `num_bytes` more fit into the limit. Return whether they do. The caller
        holds the lock.

        Files that dead processes left unfinished go first, then damaged ones, then blocks without children, the least
        recently used first.

        Raises:
            OSError: a file cannot be deleted.
        """
        for leftover in self.path.glob(f"{TEMPORARY_PREFIX}*"):
            leftover.unlink(missing_ok=True)
        aside = self._aside()
        excess = self.num_bytes + sum(map(_size, aside)) + num_bytes - limit_bytes
        for path in aside:
            if excess > 0:
                excess -= _delete(path)
        heap = [_order(block) for block in self.blocks.values() if self._is_leaf(block)] if excess > 0 else []
        heapq.heapify(heap)
        while heap and excess > 0:
            block = heapq.heappop(heap)[-1]
            if block.key in keep:
                continue
            excess -= self.delete(block.key)
            parent = self.blocks.get(block.parent)
            if parent is not None and self._is_leaf(parent):
                heapq.heappush(heap, _order(parent))
        return excess <= 0

    def line_of(self, key: str) -> set[str]:
        """The keys of a block and its ancestors."""
        line: set[str] = set()
        while (block := self.blocks.get(key)) is not None:
            line.add(key)
            key = block.parent
        return line

    def delete_replaced_by(self, block: StoredBlock) -> None:
        """Delete shorter segments that are prefixes of this one."""
        for other in [each for each in self.children[block.parent].values() if not each.is_state]:
            length = len(other.token_ids)
            if length < len(block.token_ids) and other.num_shared(block.token_ids) == length:
                self.delete(other.key)

    def aside_bytes(self) -> int:
        return sum(map(_size, self._aside()))

    def delete_aside(self) -> None:
        for path in self._aside():
            _delete(path)

    def _is_leaf(self, block: StoredBlock) -> bool:
        return block.key not in self.children

    def _aside(self) -> list[Path]:
        """Damaged files, the oldest first."""
        return sorted((self.path / SET_ASIDE).glob("*"), key=lambda path: (_changed_at(path), path.name))


def _stored(header: Header, path: Path, used_at: float) -> StoredBlock:
    key = path.name.removesuffix(SUFFIX)
    of_state, num_bytes = is_state(header.form), header.num_bytes
    return StoredBlock(key, path, header.fingerprint, header.parent, header.token_ids, num_bytes, used_at, of_state)


def _order(block: StoredBlock) -> tuple[float, str, StoredBlock]:
    return block.used_at, block.key, block


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _changed_at(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def _delete(path: Path) -> int:
    size = _size(path)
    path.unlink(missing_ok=True)
    return size
