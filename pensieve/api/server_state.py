"""What the routes share: the models, the measurements, who may ask, and whether the server is on its way out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from quart import current_app

from contracts.checked import checked as with_clauses
from contracts.generation import GenerationStarted
from contracts.performance import PerformanceMonitor
from contracts.requests import RequestHandler
from pensieve.api.access import AccessRules
from pensieve.api.message_handler import MessageHandler
from pensieve.core.errors import NotFoundError, OverloadedError, RateLimitError
from pensieve.core.rate_limit import RateLimit
from pensieve.engine.loaded_models import LoadedModels, ServedModel

log = logging.getLogger(__name__)

EXTENSION = "pensieve"
CLAUDE_PREFIX = "claude-"


@dataclass(slots=True)
class ServerState:
    """One of these per app. `draining` is set once: running requests finish, new ones are sent away."""

    models: LoadedModels
    monitor: PerformanceMonitor
    access: AccessRules
    ping_interval_seconds: float = 5.0
    checked: bool = False
    rate_limit: RateLimit | None = None
    draining: bool = field(default=False, init=False)

    def model_for(self, name: str) -> ServedModel:
        """The model of that id; every `claude-` name reaches the one that is served (W20).

        Raises:
            NotFoundError: it is not served here; the message says what is.
        """
        loaded = self.models.loaded()
        wanted = loaded[0].id if name.startswith(CLAUDE_PREFIX) and loaded else name
        model = self.models.get(wanted)
        if model is None:
            served = ", ".join(info.id for info in loaded) or "nothing yet"
            raise NotFoundError(f"model: {name!r} is not served here; served: {served}", field="model")
        return model

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

    def open_model(self, name: str) -> ServedModel:
        """The model that is to answer a new request.

        Raises:
            NotFoundError: as `model_for`.
            OverloadedError: the server is stopping.
        """
        if self.draining:
            raise OverloadedError("the server is stopping", retry_after_seconds=10)
        return self.model_for(name)

    def handler_for(self, name: str, on_start: Callable[[GenerationStarted], None]) -> RequestHandler:
        """What answers a request for that model; `on_start` is told what is known of it when it is accepted.

        Raises:
            NotFoundError: as `model_for`.
            OverloadedError: the server is stopping.
        """
        handler = MessageHandler(
            self.open_model(name), ping_interval_seconds=self.ping_interval_seconds, on_start=on_start
        )
        return with_clauses(RequestHandler, handler) if self.checked else handler


def server_state() -> ServerState:
    """The state of the app that handles this request."""
    state: ServerState = current_app.extensions[EXTENSION]
    return state
