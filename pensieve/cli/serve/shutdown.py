"""How a server stops: on a signal, or because its engine is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pensieve.api.server_state import ServerState
    from pensieve.serving.model_pool import ModelPool

log = logging.getLogger(__name__)

LAST_EVENTS_SECONDS: Final = 2.0
"""How long a server without an engine stays, so that its streams get their errors and `/health` gives the reason."""


class ServerLostError(Exception):
    """The server stopped because it can no longer answer. A new process may."""


class Shutdown:
    """Hypercorn's shutdown trigger. `lost_reason` says afterwards why the server cannot go on, if it cannot."""

    def __init__(self, state: ServerState, stop: asyncio.Event, grace_seconds: float) -> None:
        self.lost_reason: str | None = None
        self._state = state
        self._stop = stop
        self._grace_seconds = grace_seconds

    async def __call__(self) -> None:
        """Wait for the end, then for the running answers to finish, but at most for the grace time.

        Closing the models then ends the remaining streams with an error event.
        """
        await self._end()
        models = self._state.models
        self._state.draining = True
        self._explain(models.num_active)
        if self.lost_reason is not None:
            await asyncio.sleep(LAST_EVENTS_SECONDS)
        else:
            await self._until_idle(models)
        await models.aclose()

    def _explain(self, num_active: int) -> None:
        if num_active and self.lost_reason is None:
            answers = "1 answer" if num_active == 1 else f"{num_active} answers"
            log.warning(
                "stopping: %s may finish within %.0f seconds; Ctrl-C once more stops at once",
                answers,
                self._grace_seconds,
            )
        else:
            log.info("stopping")

    async def _until_idle(self, models: ModelPool) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace_seconds):
                while not models.is_idle:  # noqa: ASYNC110 - engines have no event for it
                    await asyncio.sleep(0.05)

    async def _end(self) -> None:
        lost = asyncio.create_task(self._state.models.lost())
        stopped = asyncio.create_task(self._stop.wait())
        await asyncio.wait({lost, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            self.lost_reason = lost.result()
        for task in (lost, stopped):
            task.cancel()
