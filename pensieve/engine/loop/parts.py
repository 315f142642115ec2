"""What the loop needs of a loaded model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pensieve.engine.batch.batch import Batch
from pensieve.engine.kv.sizes import KVSizes
from pensieve.engine.memory.pressure import PressureRelief
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.requests.event_stream import Deliver, deliver


@dataclass(frozen=True, slots=True)
class LoopParts:
    """`rebuild_batch` makes a batch after a fault, and raises if the model no longer computes."""

    make_batch: Callable[[], Batch]
    rebuild_batch: Callable[[], Batch]
    sizes: KVSizes
    prompt_cache: PromptCache
    relief: PressureRelief
    deliver: Deliver = deliver
