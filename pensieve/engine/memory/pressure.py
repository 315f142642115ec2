"""Steps that free memory when it runs short, and that are undone when it no longer is (S7, G-R2).

Admission keeps the memory of requests under the limit. These steps are for memory that is not reserved: buffers that
MLX caches, kernels that take more than was measured, other programs on the machine. They are ordered by cost: freeing
cached buffers costs nothing, evicting cached prompts costs time later, smaller chunks cost time now, and a refusal
fails a request. Each step is taken only if the cheaper ones did not free enough.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from contracts.values.measurements import MemoryPressure, PressureStep
from pensieve.device.memory.device_memory import HIGH_SHARE, DeviceMemory
from pensieve.engine.prompt_cache.prompt_cache import PromptCache

log = logging.getLogger(__name__)

SMALL_CHUNKS_SHARE: Final = 0.90
"""Above this share, prompts are prefilled in smaller chunks."""
REFUSAL_SHARE: Final = 0.95
"""Above this share, new requests are refused."""
RECOVERY_SHARE: Final = 0.70
"""Below this share, steps are undone. The gap to the other shares prevents oscillation."""
MIN_CHUNK_TOKENS: Final = 32
_STEP_INTERVAL_SECONDS: Final = 0.25
_MEGABYTE: Final = 1e6


class PressureRelief:
    """Used on the thread of the generation loop; `state` may be read from any thread."""

    def __init__(
        self,
        memory: DeviceMemory,
        prompt_cache: PromptCache,
        *,
        chunk_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chunk_tokens = chunk_tokens
        self._full_chunk_tokens = chunk_tokens
        self._memory = memory
        self._prompt_cache = prompt_cache
        self._clock = clock
        self._next_check_at = 0.0
        self._active: list[PressureStep] = []
        self._times = dict.fromkeys(PressureStep, 0)

    @property
    def refuses(self) -> bool:
        return PressureStep.REFUSE in self._active

    @property
    def state(self) -> MemoryPressure:
        return MemoryPressure(tuple(self._active), dict(self._times), self.chunk_tokens)

    def note_refusal(self) -> None:
        """Count a request that was refused for lack of memory."""
        self._times[PressureStep.REFUSE] += 1

    def update(self) -> None:
        """Take or undo a step if it is due. Called between two steps of the generation loop."""
        if self._clock() < self._next_check_at:
            return
        high = self._memory.watermark_bytes(HIGH_SHARE)
        in_use = self._memory.in_use_bytes
        if in_use > high or self._memory.machine_is_short:
            self._next_check_at = self._clock() + _STEP_INTERVAL_SECONDS
            self._relieve(in_use, high)
        elif self._active and in_use < self._memory.watermark_bytes(RECOVERY_SHARE):
            self._next_check_at = self._clock() + _STEP_INTERVAL_SECONDS
            self._undo()

    def _relieve(self, in_use: int, high: int) -> None:
        """Take the cheapest step that frees something."""
        if not self._active:
            log.warning(
                "memory is short: %.0f MB are in use, over %.0f of %.0f MB",
                in_use / _MEGABYTE,
                high / _MEGABYTE,
                self._memory.capacity_bytes / _MEGABYTE,
            )
        if self._memory.reclaim() and self._note_step(PressureStep.RECLAIM_BUFFERS, in_use) <= high:
            return
        in_use = self._memory.in_use_bytes
        if self._prompt_cache.evict(max(in_use - high, self._prompt_cache.num_bytes // 4)):
            self._memory.reclaim()
            if self._note_step(PressureStep.SHRINK_STORE, in_use) <= high:
                return
        in_use = self._memory.in_use_bytes
        if self.chunk_tokens > MIN_CHUNK_TOKENS and self._is_over(SMALL_CHUNKS_SHARE, in_use):
            self.chunk_tokens //= 2
            self._note_step(PressureStep.SHRINK_CHUNKS, in_use)
        elif self._is_over(REFUSAL_SHARE, in_use) and not self.refuses:
            self._active.append(PressureStep.REFUSE)
            log.warning("new requests are refused until memory is free")

    def _is_over(self, share: float, in_use: int) -> bool:
        return in_use > self._memory.watermark_bytes(share) or self._memory.machine_is_short

    def _note_step(self, step: PressureStep, before: int) -> int:
        """Count and log a step. Return the bytes in use after it."""
        after = self._memory.in_use_bytes
        self._times[step] += 1
        is_new = step not in self._active
        if is_new:
            self._active.append(step)
        log.log(
            logging.WARNING if is_new else logging.DEBUG,
            "%s: %.0f MB in use, %.0f before; prefill chunks of %d tokens",
            step.value.replace("_", " "),
            after / _MEGABYTE,
            before / _MEGABYTE,
            self.chunk_tokens,
        )
        return after

    def _undo(self) -> None:
        """Undo the most expensive active step."""
        step = self._active[-1]
        if step is PressureStep.SHRINK_CHUNKS and 2 * self.chunk_tokens < self._full_chunk_tokens:
            self.chunk_tokens *= 2
            return
        if step is PressureStep.SHRINK_CHUNKS:
            self.chunk_tokens = self._full_chunk_tokens
        if step is PressureStep.SHRINK_STORE:
            self._prompt_cache.recover()
        self._active.pop()
        log.info("%s: undone", step.value.replace("_", " "))
        if not self._active:
            log.warning("memory is no longer short: %.0f MB are in use", self._memory.in_use_bytes / _MEGABYTE)
