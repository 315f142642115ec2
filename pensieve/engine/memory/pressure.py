"""What is done when memory runs short, and undone when it does not any more (S7, G-R2).

Admission keeps what requests take under the limit. This is for what nobody promised: buffers that MLX keeps, kernels
that take more than was measured, other programs on the machine. Each step is smaller than the next: buffers that MLX
keeps cost nothing to give back, stored prompts cost time later, small chunks cost time now, and a refusal costs a
client's patience. So the next is taken only when the one before did not help enough.
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

SLOWER_SHARE: Final = 0.90
"""Over that, prompts are read in smaller chunks."""
REFUSING_SHARE: Final = 0.95
"""Over that, nobody is taken in. What is promised stays under the limit, so this is for what nobody promised."""
LOW_SHARE: Final = 0.70
"""Under that, what was done is undone. The gap keeps one from following the other for ever."""
MIN_CHUNK_TOKENS: Final = 32
_SECONDS_BETWEEN_STEPS: Final = 0.25
_MEGABYTE: Final = 1e6


class PressureRelief:
    """Looked at between two steps of the generation loop, on its thread; `state` may be read from any."""

    def __init__(
        self,
        memory: DeviceMemory,
        stored: PromptCache,
        *,
        chunk_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chunk_tokens = chunk_tokens
        self._full_chunk_tokens = chunk_tokens
        self._memory = memory
        self._stored = stored
        self._clock = clock
        self._next_look_at = 0.0
        self._active: list[PressureStep] = []
        self._times = dict.fromkeys(PressureStep, 0)

    @property
    def refuses(self) -> bool:
        return PressureStep.REFUSE in self._active

    @property
    def state(self) -> MemoryPressure:
        return MemoryPressure(tuple(self._active), dict(self._times), self.chunk_tokens)

    def note_refusal(self) -> None:
        """A request was sent away for want of memory."""
        self._times[PressureStep.REFUSE] += 1

    def look(self) -> None:
        """Take or undo a step, if it is time to."""
        if self._clock() < self._next_look_at:
            return
        high = self._memory.watermark_bytes(HIGH_SHARE)
        in_use = self._memory.in_use_bytes
        if in_use > high or self._memory.machine_is_short:
            self._next_look_at = self._clock() + _SECONDS_BETWEEN_STEPS
            self._relieve(in_use, high)
        elif self._active and in_use < self._memory.watermark_bytes(LOW_SHARE):
            self._next_look_at = self._clock() + _SECONDS_BETWEEN_STEPS
            self._undo()

    def _relieve(self, in_use: int, high: int) -> None:
        """The smallest step that there is to take. One that frees nothing is no reason to wait with the next."""
        if not self._active:
            log.warning(
                "memory is short: %.0f MB are in use, over %.0f of %.0f MB",
                in_use / _MEGABYTE,
                high / _MEGABYTE,
                self._memory.capacity_bytes / _MEGABYTE,
            )
        if self._memory.reclaim() and self._took(PressureStep.RECLAIM_BUFFERS, in_use) <= high:
            return
        in_use = self._memory.in_use_bytes
        if self._stored.give_up(max(in_use - high, self._stored.num_bytes // 4)):
            self._memory.reclaim()
            if self._took(PressureStep.SHRINK_STORE, in_use) <= high:
                return
        in_use = self._memory.in_use_bytes
        if self.chunk_tokens > MIN_CHUNK_TOKENS and self._is_over(SLOWER_SHARE, in_use):
            self.chunk_tokens //= 2
            self._took(PressureStep.SHRINK_CHUNKS, in_use)
        elif self._is_over(REFUSING_SHARE, in_use) and not self.refuses:
            self._active.append(PressureStep.REFUSE)
            log.warning("no more requests are taken until memory is given back")

    def _is_over(self, share: float, in_use: int) -> bool:
        return in_use > self._memory.watermark_bytes(share) or self._memory.machine_is_short

    def _took(self, step: PressureStep, before: int) -> int:
        """Count and tell a step; what is in use after it."""
        after = self._memory.in_use_bytes
        self._times[step] += 1
        is_new = step not in self._active
        if is_new:
            self._active.append(step)
        log.log(
            logging.WARNING if is_new else logging.DEBUG,
            "%s: %.0f MB in use, %.0f before; %d tokens of prompts are read at once",
            step.value.replace("_", " "),
            after / _MEGABYTE,
            before / _MEGABYTE,
            self.chunk_tokens,
        )
        return after

    def _undo(self) -> None:
        """The last step first."""
        step = self._active[-1]
        if step is PressureStep.SHRINK_CHUNKS and 2 * self.chunk_tokens < self._full_chunk_tokens:
            self.chunk_tokens *= 2
            return
        if step is PressureStep.SHRINK_CHUNKS:
            self.chunk_tokens = self._full_chunk_tokens
        if step is PressureStep.SHRINK_STORE:
            self._stored.recover()
        self._active.pop()
        log.info("%s is undone", step.value.replace("_", " "))
        if not self._active:
            log.warning("memory is not short any more: %.0f MB are in use", self._memory.in_use_bytes / _MEGABYTE)
