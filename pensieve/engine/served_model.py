"""An engine as the server needs it."""

from __future__ import annotations

from typing import Protocol

from contracts.generation import PromptTokens
from contracts.inference import InferenceModel


class ServedModel(InferenceModel, Protocol):
    """It also knows how busy it is, and where the KV of prompts came from."""

    @property
    def num_active(self) -> int: ...

    async def can_admit(self) -> bool: ...

    def prompt_tokens(self) -> PromptTokens: ...
