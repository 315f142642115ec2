"""What the routes share: the models, the measurements, who may ask, and whether the server is on its way out."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from quart import current_app

from contracts.checked import checked as with_clauses
from contracts.protocols.performance import PerformanceMonitor
from contracts.protocols.requests import RequestHandler
from contracts.values.generation import GenerationStarted
from contracts.values.measurements import RequestTotals
from contracts.values.vocabulary import GenerationRequest, MessageEvent, ModelInfo
from pensieve.api.anthropic.handler import MessageHandler
from pensieve.api.http.access import AccessRules
from pensieve.core.errors import RETRY_AFTER_RESTART_SECONDS, NotFoundError, OverloadedError, RateLimitError
from pensieve.core.scheduling.rate_limit import RateLimit
from pensieve.serving.lease import ModelLease
from pensieve.serving.model_pool import ModelPool

log = logging.getLogger(__name__)

EXTENSION = "pensieve"
CLAUDE_PREFIX = "claude-"


class ServerMonitor(PerformanceMonitor, Protocol):
    """The performance monitor of the contracts, with the totals that `/metrics` exports."""

    def totals(self) -> RequestTotals: ...


@dataclass(slots=True)
class ServerState:
    """One of these per app. `draining` is set once: running requests finish, new ones are sent away."""

    models: ModelPool
    monitor: ServerMonitor
    access: AccessRules
    ping_interval_seconds: float = 5.0
    checked: bool = False
    rate_limit: RateLimit | None = None
    draining: bool = field(default=False, init=False)

    def info_of(self, name: str) -> ModelInfo:
        """What is known of the model that requests for `name` reach, loaded or not.

        Raises:
            NotFoundError: there is none; the message says which there are.
        """
        info = self.models.find(self._meant(name))
        if info is None:
            names = ", ".join(known.id for known in self.models.known()) or "nothing yet"
            raise NotFoundError(f"model: {name!r} is not served here; served: {names}", field="model")
        return info

    def _meant(self, name: str) -> str:
        """Every `claude-` name means the model that the server was started for (W20)."""
        known = self.models.known()
        return known[0].id if name.startswith(CLAUDE_PREFIX) and known and self.models.find(name) is None else name

    @asynccontextmanager
    async def open_model(self, name: str) -> AsyncIterator[ModelLease]:
        """The model that is to answer a new request: loaded if it is not, and kept until the block ends.

        Raises:
            NotFoundError: as `info_of`.
            OverloadedError: the server is stopping, or the models in use leave no room for this one.
            ModelLoadingError, InsufficientMemoryError, DeviceError: it cannot be loaded.
        """
        if self.draining:
            raise OverloadedError("the server is stopping", retry_after_seconds=RETRY_AFTER_RESTART_SECONDS)
        model = await self.models.borrow(self.info_of(name).id)
        model_id = model.info.id
        try:
            yield ModelLease(model, self.models.make_room)
        finally:
            self.models.give_back(model_id)

    def check_rate(self, client: str) -> None:
        """Count a request of this client.

        Raises:
            RateLimitError: it has had its requests of this minute.
        """
        wait_seconds = self.rate_limit.admit(client, time.monotonic()) if self.rate_limit is not None else 0
        if wait_seconds:
            raise RateLimitError(
                f"too many requests: come back in {wait_seconds} seconds", retry_after_seconds=wait_seconds
            )

    async def message_events(
        self, request: GenerationRequest, name: str, on_start: Callable[[GenerationStarted], None]
    ) -> AsyncGenerator[MessageEvent, None]:
        """The events of a message by that model; `on_start` is told what is known of a request when it is accepted.

        Raises:
            PensieveError: as `open_model` and `RequestHandler.handle_request`, before the first event.
        """
        async with self.open_model(name) as model:
            made = MessageHandler(model, ping_interval_seconds=self.ping_interval_seconds, on_start=on_start)
            handler: RequestHandler = with_clauses(RequestHandler, made) if self.checked else made
            async with aclosing(handler.handle_request(request, name)) as events:
                async for event in events:
                    yield event


def server_state() -> ServerState:
    """The state of the app that handles this request."""
    state: ServerState = current_app.extensions[EXTENSION]
    return state
