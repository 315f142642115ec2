"""Loading a model again after its engine has failed. If that does not help, the process has to be replaced."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from contracts.values.faults import EngineFault
from pensieve.serving.residents import ResidentModel, ResidentModels
from pensieve.serving.room import MemoryRoom
from pensieve.serving.served_model import ServedModel
from pensieve.serving.timeouts import PoolTimeouts

log = logging.getLogger(__name__)


class Revival:
    """A model that fails again within `PoolTimeouts.revival_seconds` is not loaded a second time."""

    def __init__(
        self,
        start: Callable[[str], Awaitable[ServedModel]],
        residents: ResidentModels,
        room: MemoryRoom,
        timeouts: PoolTimeouts,
    ) -> None:
        self._start = start
        self._residents = residents
        self._room = room
        self._timeouts = timeouts
        self._revived_at: dict[str, float] = {}
        self._lost = asyncio.Event()
        self._reason = ""
        self._tasks: set[asyncio.Task[None]] = set()

    async def lost(self) -> str:
        """Return once this process cannot serve a model any more, with the reason."""
        await self._lost.wait()
        return self._reason

    def watch(self, resident: ResidentModel) -> None:
        task = asyncio.create_task(self._watch(resident), name=f"watch {resident.source}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self, resident: ResidentModel) -> None:
        while (fault := await resident.model.failed()) is not None:
            resident.fault = f"{resident.id}: {fault.reason}"
            resident.is_ready.clear()
            if not self._may_revive(resident, fault):
                self._lose(resident, resident.fault)
                return
            try:
                await self._revive(resident)
            except Exception as error:
                log.exception("loading %s again failed", resident.id)
                self._lose(resident, f"{resident.fault}; loading it again failed: {error}")
                return

    def _may_revive(self, resident: ResidentModel, fault: EngineFault) -> bool:
        now = self._timeouts.clock()
        before = self._revived_at.get(resident.source)
        self._revived_at[resident.source] = now
        return fault.can_reload and (before is None or now - before >= self._timeouts.revival_seconds)

    async def _revive(self, resident: ResidentModel) -> None:
        log.warning("loading %s again", resident.id)
        async with self._room.lock:
            if self._residents.get(resident.id) is not resident:
                return  # it was unloaded meanwhile
            await self._residents.replace(resident, self._start)
        resident.fault = None
        resident.is_ready.set()
        log.warning("%s is loaded again", resident.id)

    def _lose(self, resident: ResidentModel, reason: str) -> None:
        resident.fault = self._reason = reason
        resident.is_ready.set()  # who waits for it gets its engine's error
        self._lost.set()
