"""What an engine may take on, and what it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.engine.prompt_cache.open import CacheOptions
from pensieve.engine.scripted.script import Script
from pensieve.models.files.model_folder import ModelFolder


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`max_queued` requests may wait beside the `max_batch_size` that run; the next is told to come back.

    `prefill_chunk_tokens` of a prompt are read between two tokens of the others; None is what suits the device. With a
    `script`, the model says the script's words. Keys and values take `kv_bits`; None is the model's own type. With
    `speculation`, what repeats the prompt is decoded several tokens at a time, and where nothing does, what the
    `draft_model` guesses; the answers are the same. `settings` are the operator's, over those of the model's makers.
    """

    max_batch_size: int = 16
    max_queued: int = 32
    script: Script | None = None
    kv_bits: Literal[8] | None = None
    speculation: bool = True
    draft_model: ModelFolder | None = None
    cache: CacheOptions = CacheOptions()  # noqa: RUF009 - frozen
    settings: ModelSettings = ModelSettings()  # noqa: RUF009 - frozen
