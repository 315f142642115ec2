"""The state that all routes share: models, measurements, access rules, and whether the server is stopping."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client.metrics_core import Metric
from quart import current_app

from contracts.checked import checked as with_clauses
from contracts.protocols.performance import PerformanceMonitor
from contracts.protocols.requests import RequestHandler
from contracts.values.measurements import DiskWrites, RequestTotals
from contracts.values.vocabulary import ClientIdentity, GenerationRequest, MessageEvent, ModelInfo
from pensieve.api.anthropic.diagnostics import Fingerprints
from pensieve.api.anthropic.handler import MessageHandler, MessageOptions
from pensieve.api.history import History
from pensieve.api.http.access import AccessRules
from pensieve.api.http.connections.limits import ConnectionLimits
from pensieve.api.http.keys import MAX_KEYS
from pensieve.api.recent_log import RecentLog
from pensieve.api.request_log.prompt_folder import PromptFolder
from pensieve.api.request_log.record import current_record
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

    def histograms(self) -> Iterator[Metric]: ...


@dataclass(slots=True)
class ServerState:
    """The state of one app. Once `draining` is set, running requests finish and new ones are refused."""

    models: ModelPool
    monitor: ServerMonitor
    access: AccessRules
    ping_interval_seconds: float = 5.0
    checked: bool = False
    rate_limit: RateLimit | None = None
    cache_writes: Callable[[], DiskWrites] = DiskWrites
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    prompt_folder: PromptFolder | None = None
    draining: bool = field(default=False, init=False)
    fingerprints: Fingerprints = field(default_factory=Fingerprints, init=False)
    recent_log: RecentLog = field(default_factory=RecentLog, init=False)
    history: History = field(default_factory=History, init=False)
    requests_by_key: Counter[str] = field(default_factory=Counter, init=False)

    def info_of(self, name: str) -> ModelInfo:
        """The model that answers requests for `name`, whether it is loaded or not.

        Raises:
            NotFoundError: no such model; the message lists those that are served.
        """
        info = self.models.find(self._resolve(name))
        if info is None:
            names = ", ".join(info.id for info in self.models.known()) or "nothing yet"
            raise NotFoundError(f"model: {name!r} is not served here; served: {names}", field="model")
        return info

    def _resolve(self, name: str) -> str:
        """Every `claude-` name means the main model (W20)."""
        infos = self.models.known()
        return infos[0].id if name.startswith(CLAUDE_PREFIX) and infos and self.models.find(name) is None else name

    @asynccontextmanager
    async def open_model(self, name: str) -> AsyncIterator[ModelLease]:
        """The model for a new request. It is loaded if necessary, and stays loaded until the block ends.

        Raises:
            NotFoundError: as `info_of`.
            OverloadedError: the server is stopping, or the models in use leave no memory for this one.
            ModelLoadingError, InsufficientMemoryError, DeviceError: it cannot be loaded.
        """
        if self.draining:
            raise OverloadedError("the server is stopping", retry_after_seconds=RETRY_AFTER_RESTART_SECONDS)
        record = current_record()
        record.model = name
        record.model = self.info_of(name).id
        model = await self.models.borrow(record.model)
        model_id = model.info.id
        try:
            yield ModelLease(model, self.models.make_room, record)
        finally:
            self.models.give_back(model_id)

    def count_request(self, client: ClientIdentity) -> None:
        """Count a request by the name of its key, if it has one. Names that are too many count as "other"."""
        if client.namespace:
            counts = self.requests_by_key
            counts[client.name if client.name in counts or len(counts) < MAX_KEYS else "other"] += 1

    def check_rate(self, client: str) -> None:
        """Count a request of this client.

        Raises:
            RateLimitError: the client has used up its requests of this minute.
        """
        wait_seconds = self.rate_limit.admit(client, time.monotonic()) if self.rate_limit is not None else 0
        if wait_seconds:
            raise RateLimitError(
                f"too many requests: retry in {wait_seconds} seconds", retry_after_seconds=wait_seconds
            )

    async def message_events(
        self, request: GenerationRequest, name: str, options: MessageOptions
    ) -> AsyncGenerator[MessageEvent, None]:
        """The events of a message by the model `name`.

        Raises:
            PensieveError: as `open_model` and `RequestHandler.handle_request`, before the first event.
        """
        async with self.open_model(name) as model:
            plain = MessageHandler(model, ping_interval_seconds=self.ping_interval_seconds, options=options)
            handler: RequestHandler = with_clauses(RequestHandler, plain) if self.checked else plain
            async with aclosing(handler.handle_request(request, name)) as events:
                async for event in events:
                    yield event


def server_state() -> ServerState:
    """The state of the app that handles the current request."""
    state: ServerState = current_app.extensions[EXTENSION]
    return state
