"""The parts of an engine, for what starts it to look at and to change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields

from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.assembly import EngineParts, load_parts
from pensieve.engine.batch.batch import Batch
from pensieve.engine.engine import LoadParts
from pensieve.engine.options import EngineOptions
from pensieve.models.files.model_folder import ModelFolder


@dataclass(frozen=True, slots=True)
class NotedParts(EngineParts):
    batches: list[Batch] = field(default_factory=list)

    @property
    def batch(self) -> Batch:
        """The batch that runs."""
        return self.batches[-1]

    def new_batch(self, options: EngineOptions) -> Batch:
        self.batches.append(EngineParts.new_batch(self, options))
        return self.batch


def noting(
    note: Callable[[NotedParts], None], change: Callable[[EngineParts], EngineParts] = lambda parts: parts
) -> LoadParts:
    """The `load` of `Engine.start` that notes the parts. `change` may put others in the place of the engine's own."""

    def load(folder: ModelFolder, memory: DeviceMemory, options: EngineOptions, resources: ExitStack) -> EngineParts:
        parts = change(load_parts(folder, memory, options, resources))
        noted = NotedParts(**{each.name: getattr(parts, each.name) for each in fields(parts)})
        note(noted)
        return noted

    return load
