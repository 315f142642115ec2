"""Writes blocks to the folder on a thread of its own, from bytes that the caller has copied (C2)."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from pensieve.engine.kv.blocks import KVBlock
from pensieve.engine.prompt_cache.disk.file import packed_header, write_block
from pensieve.engine.prompt_cache.disk.folder import KVFolder, StoredBlock

log = logging.getLogger(__name__)

QUEUE_BYTES: Final = 512 << 20
"""The limit of what may be queued. Blocks beyond it are skipped, and written when their prompt is computed again."""


@dataclass(slots=True)
class _Job:
    blocks: list[KVBlock] = field(default_factory=list)
    used: list[str] = field(default_factory=list)


class BlockWriter:
    """`lock` guards `files`, and `roots`, the parents of the blocks that start a prompt. Every method may be called
    from any thread.
    """

    def __init__(self, files: KVFolder, lock: threading.RLock, *, roots: Collection[str], limit_bytes: int) -> None:
        self._files = files
        self._lock = lock
        self._roots = roots
        self._limit_bytes = limit_bytes
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._queued_bytes: dict[str, int] = {}
        self._idle = threading.Condition(lock)
        self._num_jobs = 0
        self._has_warned = False
        self._thread: threading.Thread | None = None

    def is_queued(self, key: str) -> bool:
        with self._lock:
            return key in self._queued_bytes

    def has_room(self, num_bytes: int) -> bool:
        """Whether this much more fits into the queue and the limit."""
        with self._lock:
            return num_bytes <= self._limit_bytes and sum(self._queued_bytes.values()) + num_bytes <= QUEUE_BYTES

    def put(self, blocks: Sequence[KVBlock], used: Sequence[str]) -> None:
        with self._lock:
            self._queued_bytes.update({block.key: block.num_bytes for block in blocks})
            self._num_jobs += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="pensieve-kv-writer", daemon=True)
                self._thread.start()
            self._jobs.put(_Job(list(blocks), list(used)))

    def flush(self, timeout_seconds: float) -> bool:
        with self._idle:
            return self._idle.wait_for(lambda: not self._num_jobs, timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        self.flush(timeout_seconds)
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._jobs.put(None)
            thread.join(timeout_seconds)

    def warn(self, error: OSError) -> None:
        """Once: a full disk stays full for a while."""
        if not self._has_warned:
            self._has_warned = True
            log.warning("prompts are not kept in %s for now: %s", self._files.path, error)

    def _write_all(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._write(job)
            except OSError as error:
                self.warn(error)
            except Exception:
                log.exception("part of a prompt could not be kept on disk")
            with self._idle:
                for block in job.blocks:
                    self._queued_bytes.pop(block.key, None)
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
                self._files.make_room(0, self._limit_bytes)
            for block in job.blocks:
                if not self._write_block(block):
                    return  # blocks that build on it could not be found

    def _write_block(self, block: KVBlock) -> bool:
        header = packed_header(block)
        size = len(header) + block.num_bytes
        with self._lock:
            if block.key in self._files.blocks:
                return True
            if block.parent not in self._roots and block.parent not in self._files.blocks:
                return False
            if not self._files.make_room(size, self._limit_bytes, keep=self._files.line_of(block.parent)):
                return False
        path = write_block(self._files.path, block, header)
        stored = StoredBlock(
            block.key, path, block.fingerprint, block.parent, block.token_ids, size, path.stat().st_mtime
        )
        with self._lock:
            self._files.add(stored)
            if not block.is_state:
                self._files.delete_replaced_by(stored)
        return True
