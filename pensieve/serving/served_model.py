"""An engine as the server needs it."""

from __future__ import annotations

from typing import Protocol

from contracts.protocols.inference import InferenceModel
from contracts.values.generation import PromptTokens
from contracts.values.measurements import MemoryPressure, SpeculationCounts


class ServedModel(InferenceModel, Protocol):
    """It also knows how busy it is, where the KV of prompts came from, and what it does to be fast in little memory."""

    @property
    def num_active(self) -> int: ...

    async def can_admit(self) -> bool: ...

    def prompt_tokens(self) -> PromptTokens: ...

    def memory_pressure(self) -> MemoryPressure: ...

    def speculation_counts(self) -> SpeculationCounts: ...
