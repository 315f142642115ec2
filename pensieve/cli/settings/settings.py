"""The settings of one server, as the rest of the command reads them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pensieve.api.http.keys import KeyFile
from pensieve.cli.settings.model_table import ModelTables
from pensieve.cli.sizes import Size
from pensieve.core.defaults.model_settings import ThinkingMode

DEFAULT_PORT = 8765
DEFAULT_MAX_BATCH_SIZE, DEFAULT_MAX_QUEUED = 16, 32
DEFAULT_CACHE_WRITES = 50 * 1000**3
"""Over five years 91 TB: a sixth of what a consumer SSD of 1 TB is rated for (600 TB), and half of what one of 256 GB
is (150 to 200 TB).
"""
IDLE_SECONDS_OF_SEVERAL = 600.0
"""The default of `--idle-unload` for a server of several models."""


class SettingsError(ValueError):
    """A setting cannot be parsed, or contradicts another. The message names it and says how to fix it."""


@dataclass(frozen=True, slots=True)
class Settings:
    model: str | None
    host: str
    port: int
    api_key: str | None
    api_keys: KeyFile | None
    cors_origins: tuple[str, ...]
    allow_hosts: tuple[str, ...]
    script: Path | None
    checked: bool
    grace_seconds: float
    rate_limit: int | None
    max_batch_size: int
    max_queued: int
    cache_memory: Size | None
    cache_disk: Size | None
    cache_writes: int | None
    """Bytes in 24 hours; None for any number."""
    memory_limit: Size | None
    kv_bits: Literal[8] | None
    context: int | None
    allow_models: tuple[str, ...]
    idle_unload: float | None
    no_speculation: bool
    no_mtp: bool
    draft_model: str | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repetition_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    thinking: ThinkingMode | None
    max_thinking_tokens: int | None
    model_settings: Path | None
    stall_timeout: float
    no_supervise: bool
    log_level: str
    log_format: Literal["text", "json"] | None
    """None for text on a terminal, and JSON elsewhere."""
    log_file: Path | None
    log_prompts: Path | None
    models: ModelTables = field(default_factory=ModelTables)
    """What is set for all models, and for single ones."""

    @property
    def idle_seconds(self) -> float | None:
        """Seconds without a request after which a model is unloaded; None for never."""
        seconds = self.idle_unload
        if seconds is None:
            seconds = IDLE_SECONDS_OF_SEVERAL if self.allow_models else math.inf
        return seconds if seconds < math.inf else None
