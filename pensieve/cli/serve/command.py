"""`pensieve serve`: THE composition root. Every part is made here, handed to those who need it, and closed here.

What speaks HTTP takes a second to import. That is done while the model loads, and not before.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Final

from contracts.values.vocabulary import ModelConfig
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import ServerComponents, components_for
from pensieve.core.errors import PensieveError
from pensieve.core.scheduling.rate_limit import RateLimit
from pensieve.serving.model_pool import ModelPool
from pensieve.serving.patience import Patience

if TYPE_CHECKING:
    from hypercorn.config import Config

    from pensieve.api.http.access import AccessRules
    from pensieve.api.server_state import ServerState

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 120
BACKLOG = 256
SWITCH_SECONDS = 0.001
"""How long the thread that computes may keep the interpreter from the one that speaks HTTP. With Python's own 5 ms, a
token would wait until the pass of the next one is prepared.
"""
_SPEAKS_HTTP: Final = ("hypercorn.asyncio", "hypercorn.config", "pensieve.api.app", "pensieve.api.http.hypercorn_fix")


def serve(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM; the exit status."""
    sys.setswitchinterval(SWITCH_SECONDS)
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        listener = bind(settings.host, settings.port)
    except OSError as error:
        return _fail(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; choose another with --port")
    try:
        asyncio.run(_until_signalled(settings, components_for(settings), listener))
    except PensieveError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    finally:
        listener.close()
    return 0


async def _until_signalled(settings: Settings, parts: ServerComponents, listener: socket.socket) -> None:
    stop = asyncio.Event()

    def ready(line: str) -> None:
        _set_on_signals(stop)  # not before: until then a signal simply ends the process
        print(line, flush=True)

    await run(settings, parts, listener, stop=stop, ready=ready)


async def run(
    settings: Settings,
    parts: ServerComponents,
    listener: socket.socket,
    *,
    stop: asyncio.Event,
    ready: Callable[[str], None],
) -> None:
    """Load the model, say so through `ready` once the socket listens, and serve until `stop` is set.

    Raises:
        PensieveError: the model cannot be loaded.
    """
    async with AsyncExitStack() as stack:
        patience = Patience(idle_seconds=settings.idle_seconds)
        models = ModelPool(parts.start, parts.memory, known=parts.known, checked=settings.checked, patience=patience)
        stack.push_async_callback(models.aclose)
        model, _ = await asyncio.gather(
            models.load_model(ModelConfig(parts.known[0].source)), asyncio.to_thread(_import_what_speaks_http)
        )
        from hypercorn.asyncio import serve as serve_asgi  # noqa: PLC0415 - imported by now

        from pensieve.api.app import create_app  # noqa: PLC0415
        from pensieve.api.http.hypercorn_fix import close_at_once  # noqa: PLC0415
        from pensieve.api.server_state import ServerState  # noqa: PLC0415

        watch = asyncio.create_task(models.watch_idle())
        stack.callback(watch.cancel)
        limit = RateLimit(settings.rate_limit) if settings.rate_limit is not None else None
        state = ServerState(models, parts.monitor, _access(settings), checked=settings.checked, rate_limit=limit)
        listener.listen(BACKLOG)
        ready(
            f"pensieve: serving {model.info.id} at {_url(listener)} "
            f"({parts.device}; window {model.info.context_window_tokens} tokens{_others(parts)})"
        )
        close_at_once()
        await serve_asgi(
            create_app(state),
            _hypercorn_config(listener),
            shutdown_trigger=lambda: _drained(state, stop, settings.grace_seconds),
        )


def _import_what_speaks_http() -> None:
    for name in _SPEAKS_HTTP:
        import_module(name)


def _others(parts: ServerComponents) -> str:
    """The models that are loaded when somebody asks for them."""
    others = ", ".join(known.info.id for known in parts.known[1:])
    return f"; on request: {others}" if others else ""


async def _drained(state: ServerState, stop: asyncio.Event, grace_seconds: float) -> None:
    """Returns when the server may stop: asked to, and with no answer running, or `grace_seconds` later.

    Answers that still run then end with an error event: closing the models tells their streams.
    """
    await stop.wait()
    state.draining = True
    log.info("stopping; %d answers are running", state.models.num_active)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_seconds):
            while not state.models.is_idle:  # noqa: ASYNC110 - engines have no event for it, and this is the last thing
                await asyncio.sleep(0.05)
    await state.models.aclose()


def _set_on_signals(stop: asyncio.Event) -> None:
    """`stop` is set by the first SIGINT or SIGTERM; a second one ends the process as if nothing handled it."""
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, first, number)


def bind(host: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet: the port is ours, and nobody is served before the model is ready."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except BaseException:
        listener.close()
        raise
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _access(settings: Settings) -> AccessRules:
    from pensieve.api.http.access import AccessRules  # noqa: PLC0415 - imported while the model loaded

    return AccessRules(settings.host, settings.api_key, settings.cors_origins)


def _hypercorn_config(listener: socket.socket) -> Config:
    from hypercorn.config import Config  # noqa: PLC0415 - imported while the model loaded

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn closes it
    config.keep_alive_timeout = KEEP_ALIVE_SECONDS  # SDKs pool connections, and a closed one costs them a retry
    config.graceful_timeout = 2.0  # answers have ended by then: this is for their last bytes
    config.include_server_header = False
    config.loglevel = "ERROR"
    return config


def _fail(message: str) -> int:
    print(f"pensieve: {message}", file=sys.stderr)
    return 1
