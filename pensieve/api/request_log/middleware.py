"""Logs one line when a request ends, however it ends (U7)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

from pensieve.api.request_log.record import RequestRecord, recording

log = logging.getLogger("pensieve.requests")

_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PLAIN: Final = re.compile(r'[^\s"=]+')
_FIRST: Final = ("method", "path", "status")
DETAILS: Final = "details"
"""The attribute of a record with all fields but these as text, which a formatter for text adds to the message. One for
JSON has the fields themselves.
"""


@dataclass(frozen=True, slots=True)
class RequestLog:
    """ASGI middleware. Successful probes, as of `/health`, are logged at DEBUG: monitors send them all the time."""

    app: ASGIFramework

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        record = RequestRecord(scope["method"], scope["path"])

        async def noting(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.start":
                record.status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message["more_body"]:
                record.is_answered = True

        with recording(record):
            try:
                await self.app(scope, receive, noting)
            finally:
                _write(record)


def _write(record: RequestRecord) -> None:
    fields = record.fields()
    message = " ".join(str(fields[name]) for name in _FIRST if name in fields)
    level = logging.DEBUG if _is_probe(record) else logging.INFO
    log.log(level, "%s", message, extra={**fields, DETAILS: _details(fields)})


def _is_probe(record: RequestRecord) -> bool:
    succeeded = record.status is not None and record.status < 400
    return succeeded and record.method in _READING and not record.path.startswith("/v1/")


def _details(fields: Mapping[str, str | int | float]) -> str:
    return "".join(f" {name}={_quoted(str(value))}" for name, value in fields.items() if name not in _FIRST)


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)
