"""Writes blocks to the folder on a thread of its own, from bytes that the caller has copied (C2)."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from pensieve.core.prefixes.worth import Worth
from pensieve.engine.kv.blocks import KVBlock
from pensieve.engine.prompt_cache.disk.file import packed_header, write_block
from pensieve.engine.prompt_cache.disk.folder import KVFolder, StoredBlock
from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Job:
    blocks: list[tuple[KVBlock, Worth]] = field(default_factory=list)
    used: list[str] = field(default_factory=list)


class BlockWriter:
    """`lock` guards `files`, and `roots`, the parents of the blocks that start a prompt. Every method may be called
    from any thread.
    """

    def __init__(
        self,
        files: KVFolder,
        lock: threading.RLock,
        budget: WriteBudget,
        *,
        roots: Collection[str],
        limit_bytes: int,
    ) -> None:
        self._files = files
        self._lock = lock
        self._budget = budget
        self._roots = roots
        self._limit_bytes = limit_bytes
        self._jobs: deque[_Job] = deque()
        self._queued: dict[str, KVBlock] = {}
        self._changed = threading.Condition(lock)
        self._is_writing = self._is_closing = self._has_warned = False
        self._thread: threading.Thread | None = None

    @property
    def queued_bytes(self) -> int:
        """What waits to be written, in memory outside MLX."""
        with self._lock:
            return sum(block.num_bytes for block in self._queued.values())

    def queued(self) -> list[KVBlock]:
        with self._lock:
            return list(self._queued.values())

    def is_queued(self, key: str) -> bool:
        with self._lock:
            return key in self._queued

    def may_write(self, num_bytes: int, worth: Worth, *, waiting_bytes: int) -> bool:
        """Whether this much more fits into the limit and the day's writes, after what waits already."""
        return num_bytes <= self._limit_bytes and self._budget.allows(num_bytes, worth, waiting_bytes=waiting_bytes)

    def put(self, blocks: Sequence[tuple[KVBlock, Worth]], used: Sequence[str]) -> None:
        with self._changed:
            self._queued.update({block.key: block for block, _ in blocks})
            self._jobs.append(_Job(list(blocks), list(used)))
            if self._thread is None:
                self._is_closing = False
                self._thread = threading.Thread(target=self._write_all, name="pensieve-kv-writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def drop_queued(self) -> int:
        """Give up what waits to be written. Return the bytes freed; at most one block is still being written."""
        with self._lock:
            freed = self.queued_bytes
            self._queued.clear()
            for job in self._jobs:
                job.blocks.clear()
            return freed

    def flush(self, timeout_seconds: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._jobs and not self._is_writing, timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        self.flush(timeout_seconds)
        with self._changed:
            self._is_closing = True
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is not None:
            thread.join(timeout_seconds)

    def warn(self, error: OSError) -> None:
        """Once, until a block is written again: a full disk stays full for a while."""
        if not self._has_warned:
            self._has_warned = True
            log.warning("prompts are not kept in %s for now: %s", self._files.path, error)

    def _write_all(self) -> None:
        while (job := self._next_job()) is not None:
            try:
                self._write(job)
            except OSError as error:
                self.warn(error)
            except Exception:
                log.exception("part of a prompt could not be kept on disk")
            with self._changed:
                for block, _ in job.blocks:
                    self._queued.pop(block.key, None)
                self._is_writing = False
                self._changed.notify_all()

    def _next_job(self) -> _Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._is_closing)
            if not self._jobs:
                return None
            self._is_writing = True
            return self._jobs.popleft()

    def _write(self, job: _Job) -> None:
        with self._lock:
            for key in job.used:
                self._files.touch(key, time.time())
        if job.used and not job.blocks:
            return
        with self._files.locked():
            with self._lock:
                self._files.scan()
                self._files.make_room(0, self._limit_bytes)
            for block, worth in job.blocks:
                if not self._write_block(block, worth):
                    return  # blocks that build on it could not be found

    def _write_block(self, block: KVBlock, worth: Worth) -> bool:
        header = packed_header(block)
        size = len(header) + block.num_bytes
        self._budget.refresh()
        with self._lock:
            if self._files.has(block.key, is_state=block.is_state):
                return True
            if not self._may_write(block, size, worth):
                return False
        self._require_space(size)
        self._budget.spend(size)
        path = write_block(self._files.path, block, header)
        written_at, parts = path.stat().st_mtime, (block.fingerprint, block.parent, block.token_ids, size)
        stored = StoredBlock(block.key, path, *parts, written_at, is_state=block.is_state)
        with self._lock:
            self._files.add(stored)
            if not block.is_state:
                self._files.delete_replaced_by(stored)
        self._note_success()
        return True

    def _may_write(self, block: KVBlock, size: int, worth: Worth) -> bool:
        if block.key not in self._queued:
            return False  # it was dropped
        if block.parent not in self._roots and block.parent not in self._files.blocks:
            return False
        return self._budget.allows(size, worth) and self._files.make_room(
            size, self._limit_bytes, keep=self._files.line_of(block.parent)
        )

    def _require_space(self, num_bytes: int) -> None:
        """A block that fails halfway would be written in vain, again and again while the disk is full."""
        if shutil.disk_usage(self._files.path).free < num_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _note_success(self) -> None:
        if self._has_warned:
            self._has_warned = False
            log.warning("prompts are kept in %s again", self._files.path)
