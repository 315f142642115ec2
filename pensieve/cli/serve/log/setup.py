"""Sets up the log: text on a terminal and JSON elsewhere, on standard error and in a file of limited size (U7)."""

from __future__ import annotations

import logging
import os
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, cast

from pensieve.cli.serve.log.bounded import BoundedRecords
from pensieve.cli.serve.log.unblocked_stream import UnblockedStream
from pensieve.core.errors import ValidationError

if TYPE_CHECKING:
    from rich.console import Console

    from pensieve.cli.settings.settings import Settings

LogFormat = Literal["text", "json"]
MAX_FILE_BYTES: Final = 10 * 1000 * 1000
NUM_OLD_FILES: Final = 5
_DETAILS: Final = "details"
"""What a line for each request adds to its message as text; JSON has it as fields (`pensieve.api.request_log`)."""
_WITH_DETAILS: Final = f"%({_DETAILS})s"
_NO_DETAILS: Final = {_DETAILS: ""}
_INDENT: Final = "    "


def set_up_log(settings: Settings) -> Console | None:
    """Returns the console of a terminal, on which progress may be shown besides the log.

    Raises:
        ValidationError: the log file cannot be written.
    """
    stream = UnblockedStream(sys.stderr.fileno())
    console = terminal(stream, settings.log_format)
    handlers = log_handlers(stream, console, settings.log_format or "json", settings.log_file)
    logging.basicConfig(level=settings.log_level, handlers=handlers, force=True)
    return console


def terminal(stream: UnblockedStream, chosen: LogFormat | None) -> Console | None:
    """None if the stream is not one, or JSON is chosen for it all the same."""
    if chosen == "json" or not stream.isatty():
        return None
    from rich.console import Console  # noqa: PLC0415 - only terminals need it

    return Console(file=cast(IO[str], stream))


def log_handlers(
    stream: UnblockedStream, console: Console | None, elsewhere: LogFormat, file: Path | None
) -> list[logging.Handler]:
    """For a terminal or another stream, and for a file. `elsewhere` is the format of all but terminals.

    Raises:
        ValidationError: the file cannot be written.
    """
    handlers = [_terminal_handler(console) if console else _formatted(logging.StreamHandler(stream), elsewhere)]
    if file is not None:
        handlers.append(_formatted(_log_file(file), elsewhere))
    for handler in handlers:
        handler.addFilter(BoundedRecords())
    return handlers


def _terminal_handler(console: Console) -> logging.Handler:
    from rich.logging import RichHandler  # noqa: PLC0415

    handler = RichHandler(console=console, show_path=False, omit_repeated_times=False, log_time_format="%H:%M:%S")
    handler.setFormatter(logging.Formatter(f"%(message)s{_WITH_DETAILS}", defaults=_NO_DETAILS))
    return handler


def _formatted(handler: logging.Handler, chosen: LogFormat) -> logging.Handler:
    text = f"%(asctime)s %(levelname)s %(name)s: %(message)s{_WITH_DETAILS}"
    handler.setFormatter(_json_formatter() if chosen == "json" else _IndentedFormatter(text, defaults=_NO_DETAILS))
    return handler


class _IndentedFormatter(logging.Formatter):
    """Only records begin at the left: a line end in what a client has sent cannot begin one."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", f"\n{_INDENT}")


def _json_formatter() -> logging.Formatter:
    from pythonjsonlogger.core import RESERVED_ATTRS  # noqa: PLC0415 - terminals do not need it
    from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415

    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        reserved_attrs=[*RESERVED_ATTRS, _DETAILS],
        timestamp="time",
        json_ensure_ascii=False,
    )


def _log_file(path: Path) -> logging.Handler:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return LogFile(path, maxBytes=MAX_FILE_BYTES, backupCount=NUM_OLD_FILES, encoding="utf-8")
    except OSError as error:
        raise ValidationError("--log-file", f"{path} cannot be written: {error.strerror or error}") from error


def append_error(path: Path, chosen: LogFormat | None, message: str) -> None:
    """For a process that is not the one that keeps the file open."""
    try:
        handler = _formatted(_log_file(path), chosen or "json")
    except ValidationError:
        return  # the server prints why
    handler.handle(logging.LogRecord("pensieve.supervisor", logging.ERROR, "", 0, message, None, None))
    handler.close()


class LogFile(RotatingFileHandler):
    """A disk that is full costs one line on standard error, and never an answer. After another program has moved or
    removed the file, as logrotate does, the log goes on in a new one.
    """

    _has_failed = False

    def emit(self, record: logging.LogRecord) -> None:
        if self.stream is not None and self._has_moved(self.stream):
            self.stream.close()
            self.stream = None  # so that the base class opens the file again
        super().emit(record)

    def _has_moved(self, stream: IO[str]) -> bool:
        try:
            return not os.path.samestat(os.stat(self.baseFilename), os.fstat(stream.fileno()))
        except OSError:
            return True

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - the standard library's names
        if self._has_failed:
            return
        self._has_failed = True
        problem = f"pensieve: {self.baseFilename} has gaps, since it cannot be written: {sys.exc_info()[1]}\n"
        UnblockedStream(sys.stderr.fileno()).write(problem)
