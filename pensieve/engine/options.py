"""The options of one engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pensieve.core.defaults.model_settings import ModelSettings
from pensieve.engine.prompt_cache.open import CacheOptions
from pensieve.engine.scripted.script import Script
from pensieve.models.files.model_folder import ModelFolder


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """`max_queued` requests may wait in addition to the `max_batch_size` that run; the next gets an OverloadedError.

    With a `script`, the model generates the script's words. `kv_bits` quantises keys and values; None keeps the model's
    own type. With `speculation`, text that repeats the prompt is decoded several tokens at a time, and other text with
    the drafts of `draft_model`, or else, with `mtp`, of the model's own multi-token-prediction head where it has one;
    the answers are the same. `settings` override those that the model's makers recommend.
    With open requests and nothing computed for `stall_seconds`, or longer on a slow machine, the engine has failed.
    """

    max_batch_size: int = 16
    max_queued: int = 32
    script: Script | None = None
    kv_bits: Literal[8] | None = None
    speculation: bool = True
    draft_model: ModelFolder | None = None
    mtp: bool = True
    stall_seconds: float = 60.0
    cache: CacheOptions = CacheOptions()  # noqa: RUF009 - frozen
    settings: ModelSettings = ModelSettings()  # noqa: RUF009 - frozen

    @property
    def wants_mtp(self) -> bool:
        """Whether the model's own head drafts, if it has one."""
        return self.speculation and self.mtp and self.draft_model is None
