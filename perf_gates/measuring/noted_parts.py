"""The parts of an engine, for what starts it to look at and to change."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from weakref import ReferenceType, ref

from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.assembly import EngineParts, load_parts
from pensieve.engine.batch.batch import Batch
from pensieve.engine.engine import LoadParts
from pensieve.engine.options import EngineOptions
from pensieve.models.files.model_folder import ModelFolder


@dataclass(frozen=True, slots=True)
class NotedParts(EngineParts):
    batches: list[ReferenceType[Batch]] = field(default_factory=list)
    """Not held, as a batch holds the weights."""

    @property
    def batch(self) -> Batch:
        """The batch that runs."""
        batch = self.batches[-1]()
        assert batch is not None
        return batch

    def new_batch(self, options: EngineOptions) -> Batch:
        batch = EngineParts.new_batch(self, options)
        self.batches.append(ref(batch))
        return batch


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
