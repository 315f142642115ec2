"""`pensieve serve`: loads the model, then serves until a signal stops it.

The HTTP modules take a second to import, so they are imported on another thread while the model loads.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib import import_module
from typing import TYPE_CHECKING, Final

from contracts.values.vocabulary import ModelConfig, ModelInfo
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import ServerComponents, components_for
from pensieve.core.errors import PensieveError
from pensieve.core.scheduling.rate_limit import RateLimit
from pensieve.serving.model_pool import ModelPool
from pensieve.serving.timeouts import PoolTimeouts

if TYPE_CHECKING:
    from hypercorn.config import Config

    from pensieve.api.http.connections.limits import ConnectionLimits
    from pensieve.api.server_state import ServerState

log = logging.getLogger(__name__)

BACKLOG = 256
SWITCH_SECONDS = 0.001
"""How long the MLX thread may hold the GIL while the HTTP thread waits for it. With Python's default of 5 ms, a token
would wait until the next decoding pass is prepared.
"""
_HTTP_MODULES: Final = (
    "hypercorn.asyncio",
    "hypercorn.config",
    "pensieve.api.app",
    "pensieve.api.http.connections.watched_connection",
)


def serve(settings: Settings) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP, and return the exit status."""
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


async def _until_signalled(settings: Settings, components: ServerComponents, listener: socket.socket) -> None:
    stop = asyncio.Event()

    def ready(line: str) -> None:
        _set_on_signals(stop)  # only now: during the load a signal simply ends the process
        _print(line)

    await run(settings, components, listener, stop=stop, ready=ready)


async def run(
    settings: Settings,
    components: ServerComponents,
    listener: socket.socket,
    *,
    stop: asyncio.Event,
    ready: Callable[[str], None],
) -> None:
    """Load the model, call `ready` with the startup line once the socket listens, and serve until `stop` is set.

    Raises:
        PensieveError: the model cannot be loaded.
    """
    timeouts = PoolTimeouts(idle_seconds=settings.idle_seconds)
    models = ModelPool(
        components.start, components.memory, known=components.models, checked=settings.checked, timeouts=timeouts
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(models.aclose)
        model, _ = await asyncio.gather(
            models.load_model(ModelConfig(components.models[0].source)), asyncio.to_thread(_import_http_modules)
        )
        watch = asyncio.create_task(models.watch_idle())
        stack.callback(watch.cancel)
        listener.listen(BACKLOG)
        ready(_startup_line(model.info, components, listener))
        await _serve_http(settings, models, components, listener, stop)


async def _serve_http(
    settings: Settings, models: ModelPool, components: ServerComponents, listener: socket.socket, stop: asyncio.Event
) -> None:
    from hypercorn.asyncio import serve as serve_asgi  # noqa: PLC0415 - see the module docstring

    from pensieve.api.app import create_app  # noqa: PLC0415
    from pensieve.api.http.access import AccessRules  # noqa: PLC0415
    from pensieve.api.http.connections.open_connections import OpenConnections, raise_file_limit  # noqa: PLC0415
    from pensieve.api.http.connections.watched_connection import watch_connections  # noqa: PLC0415
    from pensieve.api.server_state import ServerState  # noqa: PLC0415

    access = AccessRules(
        settings.host, settings.api_key, settings.cors_origins, settings.allow_hosts, settings.api_keys
    )
    limit = RateLimit(settings.rate_limit) if settings.rate_limit is not None else None
    state = ServerState(
        models,
        components.monitor,
        access,
        checked=settings.checked,
        rate_limit=limit,
        cache_writes=components.cache_writes,
    )
    connections = OpenConnections(raise_file_limit())
    asyncio.get_running_loop().set_exception_handler(connections.on_loop_error)
    watch_connections(state.limits.max_unread_seconds, connections)
    await serve_asgi(
        create_app(state),
        _hypercorn_config(listener, state.limits),
        shutdown_trigger=lambda: _drained(state, stop, settings.grace_seconds),
    )


def _import_http_modules() -> None:
    for name in _HTTP_MODULES:
        import_module(name)


def _startup_line(info: ModelInfo, components: ServerComponents, listener: socket.socket) -> str:
    others = ", ".join(model.info.id for model in components.models[1:])
    details = f"{components.device}; window {info.context_window_tokens} tokens"
    details += f"; on request: {others}" if others else ""
    return f"pensieve: serving {info.id} at {_url(listener)} ({details})"


async def _drained(state: ServerState, stop: asyncio.Event, grace_seconds: float) -> None:
    """Wait for `stop`, then for the running answers to finish, but at most `grace_seconds`.

    Closing the models then ends the remaining streams with an error event.
    """
    await stop.wait()
    state.draining = True
    log.info("stopping; waiting for %d running requests", state.models.num_active)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(grace_seconds):
            while not state.models.is_idle:  # noqa: ASYNC110 - engines have no event for it
                await asyncio.sleep(0.05)
    await state.models.aclose()


def _set_on_signals(stop: asyncio.Event) -> None:
    """The first SIGINT, SIGTERM or SIGHUP sets `stop`; a second one ends the process at once.

    A SIGHUP that is ignored, as by `nohup`, stays ignored.
    """
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        loop.remove_signal_handler(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, first, number)


def _print(line: str) -> None:
    """If the standard output cannot be written, such as a pipe whose reader has ended, the server goes on without."""
    try:
        print(line, flush=True)
    except OSError as error:
        log.warning("the standard output cannot be written: %s", error)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # or what is still buffered would fail again at exit
        os.close(nowhere)


def bind(host: str, port: int) -> socket.socket:
    """A socket that holds the port but does not listen yet, so that clients connect only once the model is ready."""
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


def _hypercorn_config(listener: socket.socket, limits: ConnectionLimits) -> Config:
    from hypercorn.config import Config  # noqa: PLC0415

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]  # hypercorn closes it
    config.keep_alive_timeout = limits.keep_alive_seconds
    config.graceful_timeout = 2.0  # answers have ended by now; this is for their last bytes
    config.include_server_header = False
    config.loglevel = "ERROR"
    return config


def _fail(message: str) -> int:
    print(f"pensieve: {message}", file=sys.stderr)
    return 1
