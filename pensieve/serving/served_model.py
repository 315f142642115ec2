"""What the server needs of an engine."""

from __future__ import annotations

from typing import Protocol

from contracts.protocols.inference import InferenceModel
from contracts.values.faults import EngineFault
from contracts.values.generation import PromptTokens
from contracts.values.measurements import MemoryPressure, RequestProgress, SpeculationCounts
from pensieve.models.estimate.known_model import Speculation


class ServedModel(InferenceModel, Protocol):
    """An InferenceModel that also reports its load and its measurements."""

    @property
    def num_active(self) -> int: ...

    def progress(self) -> tuple[RequestProgress, ...]:
        """Of the open requests, the oldest first."""

    async def failed(self) -> EngineFault | None:
        """Return as soon as it cannot answer any more, or with None when it is closed."""

    async def can_admit(self) -> bool: ...

    def prompt_tokens(self) -> PromptTokens: ...

    def memory_pressure(self) -> MemoryPressure: ...

    @property
    def speculation(self) -> Speculation:
        """What drafts, now that it is loaded."""

    def speculation_counts(self) -> SpeculationCounts: ...
