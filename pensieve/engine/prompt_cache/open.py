"""Opens what is kept between requests, in memory and on disk (C1, C2)."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pensieve.engine.prompt_cache.answer_memory import AnswerMemory, answers_path
from pensieve.engine.prompt_cache.disk.folder import KV_FOLDER
from pensieve.engine.prompt_cache.disk.tier import DiskTier
from pensieve.engine.prompt_cache.disk.write_budget import WriteBudget
from pensieve.engine.prompt_cache.fingerprint import fingerprint_of
from pensieve.engine.prompt_cache.null_store import NullStore
from pensieve.engine.prompt_cache.store import KVStore

if TYPE_CHECKING:
    from pensieve.models.files.model_folder import ModelFolder
    from pensieve.models.loading.load import LoadedModel

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Limits for KV in memory and on disk. Without a `home` nothing outlives the engine; without `memory_bytes` no KV
    is kept.
    """

    memory_bytes: int = 0
    disk_bytes: int = 0
    home: Path | None = None
    writes: WriteBudget | None = None
    """Shared by the models of a server."""

    def open_store(self, model: LoadedModel, folder: ModelFolder, *, kv_bits: int | None = None) -> KVStore | NullStore:
        """On the thread that owns MLX. Quantised KV has a fingerprint of its own."""
        if not self.memory_bytes:
            return NullStore()
        return KVStore(model, limit_bytes=self.memory_bytes, disk=self._open_disk(model, folder, kv_bits))

    def open_answers(self, folder: ModelFolder) -> AnswerMemory:
        return AnswerMemory(answers_path(self.home / "answers", folder.id, folder.path) if self.home else None)

    def _open_disk(self, model: LoadedModel, folder: ModelFolder, kv_bits: int | None) -> DiskTier | None:
        if self.home is None or not self.disk_bytes:
            return None
        try:
            fingerprint = fingerprint_of(folder.path, model, folder.adapter)
            if kv_bits is not None:
                fingerprint = hashlib.sha256(f"{fingerprint} {kv_bits} bits".encode()).hexdigest()
            return DiskTier(self.home / KV_FOLDER, fingerprint, limit_bytes=self.disk_bytes, budget=self.writes)
        except OSError as error:
            log.warning("computed prompts are not kept on disk: %s", error)
            return None
