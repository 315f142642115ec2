"""The parent process of a server: it holds the socket, and starts the server again after a crash.

Metal aborts the process when memory runs out, and a thread that hangs in native code ends only with its process. The
socket stays open meanwhile, so that clients wait for the new server instead of being refused. This process imports
neither MLX nor the HTTP modules.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import Final

from pensieve.cli.serve.crashes import Crashes, describe, is_crash
from pensieve.cli.serve.listener import bind, cannot_listen
from pensieve.cli.serve.log.unblocked_stream import unblock_standard_streams
from pensieve.cli.serve.supervised import ANSWERED, READY, VARIABLE
from pensieve.cli.settings.settings import Settings

_MODULE: Final = "pensieve.cli.process.parent_watch"
_TICK_SECONDS: Final = 1.0
_ABORT_TICKS: Final = 10
"""How long an aborted server has to write its stacks before it is killed."""
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def supervise(settings: Settings, arguments: Sequence[str]) -> int:
    """Run `pensieve` with these arguments in a child process until it ends on purpose, and return its exit status."""
    unblock_standard_streams()  # a report that waited for a reader would keep the server from starting again
    try:
        listener = bind(settings.host, settings.port)
    except OSError as error:
        print(f"pensieve: {cannot_listen(settings.host, settings.port, error)}", file=sys.stderr)
        return 1
    command = [sys.executable, *interpreter_options(), "-m", _MODULE, str(os.getpid()), *arguments]
    with listener:
        status = Supervisor(
            command, listener.fileno(), hung_seconds=2 * settings.stall_timeout, report=partial(_report, settings)
        ).run()
    if status < 0:
        end_by(-status)
    return status if status >= 0 else 128 - status


def end_by(number: int) -> None:
    """End this process by a signal, so that a shell sees how the server ended."""
    with contextlib.suppress(OSError):  # SIGKILL always has its default
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError):
        os.kill(os.getpid(), number)


def interpreter_options(original: Sequence[str] = sys.orig_argv, arguments: Sequence[str] = sys.argv) -> list[str]:
    """The options before `-m pensieve` or before the script. The folder of a script is not that of the user: a child
    that is started with `-m` must not import modules from there either.
    """
    options = list(original[1 : len(original) - len(arguments) + 1])
    if "-m" in options:
        return options[: options.index("-m")]
    return [*options[:-1], *(["-P"] if "-P" not in options else [])]


class _Server:
    """The child process. `silent_ticks` counts the ticks since its last sign of life."""

    def __init__(self, command: Sequence[str], listener_fd: int) -> None:
        self.beats_fd, beats = os.pipe()
        environment = {**os.environ, VARIABLE: f"{listener_fd},{beats}"}
        self._process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            env=environment,
            pass_fds=(listener_fd, beats),
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which passes it on
        )
        os.close(beats)
        self.is_stopped = False
        self.silent_ticks = 0

    def signal(self, number: int) -> None:
        if self._process.returncode is None:
            os.kill(self._process.pid, number)

    def read_signs(self) -> bytes:
        """Signs of life; empty once the process has closed its end."""
        signs = os.read(self.beats_fd, 4096)
        if signs:
            self.silent_ticks = 0
        return signs

    def poll(self) -> int | None:
        """The exit status, or None while it runs or is stopped."""
        pid, raw = os.waitpid(self._process.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid and os.WIFSTOPPED(raw):
            self.is_stopped = True
        elif pid and os.WIFCONTINUED(raw):
            self.is_stopped = False
        elif pid:
            self._process.returncode = os.waitstatus_to_exitcode(raw)
        return self._process.returncode

    def close(self) -> None:
        os.close(self.beats_fd)


def _report(settings: Settings, message: str) -> None:
    """Also in the log file: without this, it would not say why the server started again."""
    _print(message)
    if settings.log_file is not None:
        from pensieve.cli.serve.log.setup import append_error  # noqa: PLC0415 - only after a crash

        append_error(settings.log_file, settings.log_format, message)


def _print(message: str) -> None:
    with contextlib.suppress(OSError):
        print(f"pensieve: {message}", file=sys.stderr, flush=True)


class Supervisor:
    """`report` is called with what happened, in a sentence."""

    def __init__(
        self,
        command: Sequence[str],
        listener_fd: int,
        *,
        hung_seconds: float,
        crashes: Crashes | None = None,
        report: Callable[[str], None] = _print,
    ) -> None:
        self._report = report
        self._command = command
        self._listener_fd = listener_fd
        self._hung_ticks = hung_seconds / _TICK_SECONDS
        self._crashes = crashes or Crashes()
        self._was_ready = False
        self._stop_signal: int | None = None
        self._server: _Server | None = None
        self._wakeup_fd = -1

    def run(self) -> int:
        """The exit status of the last server; negative if a signal ended it."""
        with self._handling_signals():
            while True:
                status = self._run_server()
                if self._stop_signal is not None and status == -signal.SIGKILL:
                    return -self._stop_signal  # the second signal killed it
                if self._stop_signal is not None or not is_crash(status, was_ready=self._was_ready):
                    return status
                pause = self._crashes.pause_seconds()
                if pause is None:
                    self._report(
                        f"the server crashed again and again without an answer, at last with {describe(status)}"
                    )
                    return status
                self._report(
                    f"the server crashed ({describe(status)}); it starts again" + (f" in {pause:.0f} s" * (pause > 0))
                )
                if (number := self._signal_within(pause)) is not None:
                    return -number

    def _run_server(self) -> int:
        self._crashes.note_start()
        self._server = server = _Server(self._command, self._listener_fd)
        try:
            if self._stop_signal is not None:  # it came while the process was started
                server.signal(self._stop_signal)
            return self._wait(server)
        finally:
            self._server = None
            server.close()

    def _wait(self, server: _Server) -> int:
        waiting = [server.beats_fd, self._wakeup_fd]
        while True:
            readable, _, _ = select.select(waiting, [], [], _TICK_SECONDS)
            if self._wakeup_fd in readable:
                os.read(self._wakeup_fd, 4096)
            if server.beats_fd in readable and not self._note_signs(server.read_signs()):
                waiting.remove(server.beats_fd)
            status = server.poll()
            if status is not None:
                return status
            if not readable:
                self._note_silence(server)

    def _note_signs(self, signs: bytes) -> bool:
        """Whether there are any."""
        self._was_ready = self._was_ready or READY in signs
        if ANSWERED in signs:
            self._crashes.note_answer()
        return bool(signs)

    def _note_silence(self, server: _Server) -> None:
        """Counted in ticks of this process, so that one that was stopped does not misjudge the server."""
        server.silent_ticks += not server.is_stopped
        if server.silent_ticks == int(min(self._hung_ticks, sys.maxsize)):
            self._report(f"the server gave no sign of life for {server.silent_ticks} s; it is aborted")
            server.signal(signal.SIGABRT)  # faulthandler writes the stacks of its threads
        elif server.silent_ticks >= self._hung_ticks + _ABORT_TICKS:
            server.signal(signal.SIGKILL)

    def _signal_within(self, seconds: float) -> int | None:
        """Wait. Returns the signal that arrived meanwhile and ends the supervisor."""
        select.select([self._wakeup_fd], [], [], seconds)
        return self._stop_signal

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        """Signals wake `select`, so that a server's end is noticed at once."""
        self._wakeup_fd, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        handled = [number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._on_signal) for number in handled}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(-1)
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in (self._wakeup_fd, wakeup):
                os.close(end)

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        """The first signal is passed on; at the second, the server is killed."""
        is_first, self._stop_signal = self._stop_signal is None, number
        if self._server is not None:
            self._server.signal(number if is_first else signal.SIGKILL)
