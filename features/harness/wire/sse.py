"""A reader of server-sent events that records when each event arrived.

It follows the WHATWG HTML standard, "Server-sent events", 9.2.5 and 9.2.6: lines end in CRLF, LF or CR; a line that
starts with a colon is a comment; several data lines are joined by line feeds; a blank line ends the event, which is
ignored without data; an event that is incomplete when the stream ends is dropped.
"""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from features.harness.wire.expectations import expect_that, read_json

_LINE_END = re.compile(r"\r\n|\n|\r")
_DEFAULT_NAME = "message"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """`name` is the `event:` line's value; `arrived_at` a reading of the monotonic clock, in seconds."""

    name: str
    data: str
    arrived_at: float

    def json(self) -> dict[str, Any]:
        """The JSON object in `data:`."""
        try:
            value = read_json(self.data)
        except ValueError:
            value = None
        expect_that(isinstance(value, dict), "a JSON object in data:", self.data)
        event: dict[str, Any] = value
        return event


class EventReader:
    """Takes bytes in chunks of any size and returns the events that each chunk completes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._rest_of_line = ""
        self._line_feed_is_due = False
        self._name = ""
        self._data: list[str] = []
        self.num_comments = 0

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        text = self._decoder.decode(chunk)
        if not text:
            return []
        if self._line_feed_is_due:  # the previous chunk ended in CR: this may be the second half of a CRLF
            text = text.removeprefix("\n")
        self._line_feed_is_due = text.endswith("\r")
        *lines, self._rest_of_line = _LINE_END.split(self._rest_of_line + text)
        return [event for line in lines if (event := self._event_completed_by(line)) is not None]

    @property
    def is_between_events(self) -> bool:
        """False if the stream ended in the middle of an event."""
        return not (self._rest_of_line or self._data or self._name)

    def _event_completed_by(self, line: str) -> ServerSentEvent | None:
        if line:
            self._take_field(line)
            return None
        name, data = self._name or _DEFAULT_NAME, self._data
        self._name, self._data = "", []
        return ServerSentEvent(name, "\n".join(data), self._clock()) if data else None

    def _take_field(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "":
                self.num_comments += 1
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case _:  # id and retry do not matter here, and the standard ignores other fields
                pass
