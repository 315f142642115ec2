"""Memory for weights and for answers: idle models are unloaded, the least recently used first (S7).

One load or unload runs at a time, so that the sums of reserved memory hold meanwhile. Answers continue: each model has
its own thread.
"""

from __future__ import annotations

import asyncio

from contracts.protocols.memory import MetalResourceManager
from contracts.values.vocabulary import BufferUsage
from pensieve.core.errors import RETRY_AFTER_RESTART_SECONDS, InsufficientMemoryError, OverloadedError
from pensieve.serving.residents import ResidentModel, ResidentModels
from pensieve.serving.shared_load import SharedLoad
from pensieve.serving.timeouts import POLL_SECONDS, PoolTimeouts

ANSWERS_SHARE = 0.1
"""The share of memory that stays free for answers when a model is loaded."""


class MemoryRoom:
    """`lock` is held during every load and unload."""

    def __init__(self, memory: MetalResourceManager, residents: ResidentModels, timeouts: PoolTimeouts) -> None:
        self.lock = asyncio.Lock()
        self.waiting_load: SharedLoad[ResidentModel] | None = None
        """The load that waits for models in use to become idle. Meanwhile, new requests for other models wait too."""
        self._memory = memory
        self._residents = residents
        self._timeouts = timeouts
        self._closed = False

    @property
    def max_bytes(self) -> int:
        """The memory that one model could have if it were alone: all but the process's own."""
        return self._memory.capacity_bytes - self._memory.reserved_bytes(BufferUsage.TEMPORARY)

    @property
    def weights_bytes(self) -> int:
        return self._memory.reserved_bytes(BufferUsage.MODEL_WEIGHTS)

    def deadline(self) -> float:
        """When a load that begins now gives up waiting."""
        return self._timeouts.clock() + self._timeouts.room_seconds

    async def make_for_weights(self, load: SharedLoad[ResidentModel], weights_bytes: int) -> None:
        """Unload idle models until the weights fit, and wait for those in use. Called with the lock held.

        Raises:
            InsufficientMemoryError: the weights do not fit even with all other models unloaded.
            OverloadedError: the other models stayed in use, or the server is stopping.
        """
        max_bytes = self.max_bytes
        if weights_bytes > max_bytes:
            raise InsufficientMemoryError(f"the weights of {load.source}", weights_bytes, max_bytes)
        wanted = min(weights_bytes + int(ANSWERS_SHARE * max_bytes), max_bytes) if weights_bytes else 0
        try:
            while self._residents and not self._fits(wanted):
                idle = self._residents.least_recently_used()
                if idle is not None:
                    await self._residents.close(idle, f"to make room for {load.source}")
                else:
                    self._check_may_wait(load)
                    self.waiting_load = load
                    await self._residents.wait_for_return(POLL_SECONDS)
        finally:
            self.waiting_load = None
        if self._closed:
            raise OverloadedError("the server is stopping", retry_after_seconds=RETRY_AFTER_RESTART_SECONDS)

    async def make_for_answer(self, model_id: str, num_bytes: int) -> bool:
        """Unload other idle models until `num_bytes` are free. Return whether any was unloaded."""
        if self.waiting_load is not None:
            return False  # it has unloaded all idle models, and may be waiting for this very answer to end
        has_unloaded = False
        async with self.lock:
            while not self._fits(num_bytes):
                idle = self._residents.least_recently_used(except_for=model_id)
                if idle is None:
                    break
                await self._residents.close(idle, f"to make room for an answer of {model_id}")
                has_unloaded = True
        return has_unloaded

    def no_room_error(self, source: str) -> OverloadedError:
        busy = ", ".join(resident.id for resident in self._residents if resident.in_use)
        reason = f" while these models are in use: {busy}" if busy else ""
        return OverloadedError(f"not enough memory to load {source}{reason}; try again in a moment")

    def close(self) -> None:
        """A load that waits for memory fails now, and so does every later one."""
        self._closed = True
        self._residents.given_back.set()

    def _fits(self, num_bytes: int) -> bool:
        return self._memory.reserved_bytes() + num_bytes <= self._memory.capacity_bytes

    def _check_may_wait(self, load: SharedLoad[ResidentModel]) -> None:
        if self._closed or not load.num_waiting or self._timeouts.clock() >= load.deadline:
            raise self.no_room_error(load.source)
