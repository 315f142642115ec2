"""`pensieve serve`: loads the model, then serves until a signal stops it.

The HTTP modules take a second to import, so they are imported on another thread while the model loads.
"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn

from contracts.values.measurements import OperationPhase
from contracts.values.vocabulary import ModelConfig, ModelInfo
from pensieve.cli.serve.awake import hold_off_sleep
from pensieve.cli.serve.context import require_context
from pensieve.cli.serve.crashes import EXIT_SOFTWARE
from pensieve.cli.serve.freed_memory import return_freed_memory
from pensieve.cli.serve.listener import bind, cannot_listen, url_of
from pensieve.cli.serve.log.setup import set_up_log
from pensieve.cli.serve.log.terminal_progress import TerminalProgress
from pensieve.cli.serve.log.unblocked_stream import UnblockedStream, unblock_standard_streams
from pensieve.cli.serve.loop_watch import LoopWatch
from pensieve.cli.serve.shutdown import ServerLostError, Shutdown
from pensieve.cli.serve.supervised import Supervised
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import ServerComponents, components_for
from pensieve.core.errors import PensieveError, ValidationError
from pensieve.core.scheduling.rate_limit import RateLimit
from pensieve.device.memory.garbage import GARBAGE
from pensieve.device.process_exit import exit_now
from pensieve.serving.model_pool import ModelPool
from pensieve.serving.timeouts import PoolTimeouts

if TYPE_CHECKING:
    from hypercorn.config import Config

    from pensieve.api.http.connections.limits import ConnectionLimits
    from pensieve.api.server_state import ServerState
    from pensieve.engine.scripted.script import ScriptedServer

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


def serve(
    settings: Settings,
    supervised: Supervised | None = None,
    components: Callable[[Settings], ServerComponents] = components_for,
) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP, and return the exit status. `components` builds what is served."""
    unblock_standard_streams()
    faulthandler.enable()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        console = set_up_log(settings)
    except ValidationError as error:
        return _fail(str(error))
    try:
        listener = supervised.listener if supervised is not None else bind(settings.host, settings.port)
    except OSError as error:
        return _fail(cannot_listen(settings.host, settings.port, error))
    try:
        asyncio.run(_until_signalled(settings, replace(components(settings), console=console), listener, supervised))
    except PensieveError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    finally:
        listener.close()
    return 0


async def _until_signalled(
    settings: Settings, components: ServerComponents, listener: socket.socket, supervised: Supervised | None
) -> None:
    stop = asyncio.Event()
    watch = LoopWatch(
        asyncio.get_running_loop(),
        hung_seconds=settings.stall_timeout,
        on_hang=lambda: _end_lost("the event loop hangs"),
        on_tick=lambda: _beat(supervised, components),
    )
    watch.start()

    def ready(line: str) -> None:
        # only now: during the load a signal simply ends the process
        _set_on_signals(stop, second_ends=supervised is None)
        GARBAGE.settle()
        _print(line)
        if supervised is not None:
            supervised.note_ready()

    try:
        await run(settings, components, listener, stop=stop, ready=ready)
    except ServerLostError as error:
        _end_lost(str(error))  # here, because asyncio would wait for threads that hang
    finally:
        watch.close()


def _beat(supervised: Supervised | None, components: ServerComponents) -> None:
    """A supervisor that was killed leaves no time for the running answers: another server needs the port."""
    if supervised is not None and not supervised.beat(components.monitor.totals().ended[OperationPhase.COMPLETED]):
        _end_lost("its supervisor has ended")


def _end_lost(reason: str) -> NoReturn:
    _fail(f"the server cannot go on: {reason}")
    exit_now(EXIT_SOFTWARE)


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
        ServerLostError: it failed later, and could not be loaded again.
    """
    timeouts = PoolTimeouts(idle_seconds=settings.idle_seconds)
    models = ModelPool(
        components.start, components.memory, known=components.models, checked=settings.checked, timeouts=timeouts
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(models.aclose)
        bars = TerminalProgress(components.console, models.states) if components.console is not None else None
        if bars is not None:
            stack.callback(asyncio.create_task(bars.watch()).cancel)
        model, _ = await asyncio.gather(
            models.load_model(ModelConfig(components.models[0].source)), asyncio.to_thread(_import_http_modules)
        )
        require_context(components.models[0], model.info)
        watch = asyncio.create_task(models.watch_idle())
        stack.callback(watch.cancel)
        awake = asyncio.create_task(hold_off_sleep(lambda: models.num_active > 0))
        stack.callback(awake.cancel)
        stack.callback(asyncio.create_task(return_freed_memory(models.idle_seconds)).cancel)
        listener.listen(BACKLOG)
        if bars is not None:
            bars.show([])  # the line that follows is not the console's
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
        prompt_folder=components.prompt_folder,
    )
    _wait_as_scripted(state, components.waits)
    connections = OpenConnections(raise_file_limit())
    asyncio.get_running_loop().set_exception_handler(connections.on_loop_error)
    watch_connections(state.limits.max_unread_seconds, connections)
    shutdown = Shutdown(state, stop, settings.grace_seconds)
    await serve_asgi(create_app(state), _hypercorn_config(listener, state.limits), shutdown_trigger=shutdown)
    if shutdown.lost_reason is not None:
        raise ServerLostError(shutdown.lost_reason)


def _wait_as_scripted(state: ServerState, waits: ScriptedServer) -> None:
    if waits.ping_seconds is not None:
        state.ping_interval_seconds = waits.ping_seconds
    if waits.body_seconds is not None:
        state.limits = replace(state.limits, max_pause_seconds=waits.body_seconds)


def _import_http_modules() -> None:
    for name in _HTTP_MODULES:
        import_module(name)


def _startup_line(info: ModelInfo, components: ServerComponents, listener: socket.socket) -> str:
    others = ", ".join(model.info.id for model in components.models[1:])
    details = f"{components.device}; window {info.context_window_tokens} tokens"
    details += f"; on request: {others}" if others else ""
    return f"pensieve: serving {info.id} at {url_of(listener)} ({details})"


def _set_on_signals(stop: asyncio.Event, *, second_ends: bool) -> None:
    """The first SIGINT, SIGTERM or SIGHUP sets `stop`. A second one ends the process at once, unless its supervisor
    does that: a service manager sends each signal to both, so that this process gets it twice.

    A SIGHUP that is ignored, as by `nohup`, stays ignored.
    """
    loop = asyncio.get_running_loop()

    def first(number: signal.Signals) -> None:
        if second_ends:
            loop.remove_signal_handler(number)
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, first, number)


def _print(line: str) -> None:
    """If the standard output takes nothing, such as a pipe without a reader, the line is in the log."""
    output = UnblockedStream(sys.stdout.fileno())
    output.write(f"{line}\n")
    if output.num_lost:
        log.warning("the standard output cannot be written, or its reader does not read; it would say: %s", line)


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
