"""Faults with requests that are heavy or odd, one per function."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Final

from tests.mutants.wire import ProxiedAnswer, ProxiedCall

_HEAVY_BYTES: Final = 500_000
_HEAVY_SECONDS: Final = 15.0
_working = threading.Lock()


def one_works_while_all_wait(call: ProxiedCall) -> ProxiedCall:
    """Heavy requests hold what all requests need. The correct server gets an empty one in their place."""
    with _working:
        if len(call.body) > _HEAVY_BYTES or b"application/pdf" in call.body:
            time.sleep(_HEAVY_SECONDS)
            return dataclasses.replace(call, body=b"{}")
    return call


def fails_if(is_odd: Callable[[ProxiedCall], bool]) -> Callable[[ProxiedCall, ProxiedAnswer], ProxiedAnswer]:
    def answers(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
        return dataclasses.replace(answer, status=500) if is_odd(call) else answer

    return answers


def has_doubled_slashes(call: ProxiedCall) -> bool:
    return "//" in call.path


def has_a_host_with_two_dots(call: ProxiedCall) -> bool:
    return ".." in call.headers.get("host", "")


def has_thousands_of_digits(call: ProxiedCall) -> bool:
    return "9" * 4301 in call.path


def has_no_version(call: ProxiedCall) -> bool:
    return "version=x.y" in call.headers.get("accept", "")


def has_a_deep_schema(call: ProxiedCall) -> bool:
    return call.body.count(b'"properties"') > 40


def has_many_references(call: ProxiedCall) -> bool:
    return call.body.count(b'"tool_reference"') > 500


def has_many_pdfs(call: ProxiedCall) -> bool:
    return call.body.count(b"application/pdf") > 50


def has_many_definitions(call: ProxiedCall) -> bool:
    return b"#/$defs/u" in call.body


def forces_many_items(call: ProxiedCall) -> bool:
    return b"minItems" in call.body and b"tool_choice" in call.body


def has_the_smallest_integer(call: ProxiedCall) -> bool:
    return b"-9223372036854775808" in call.body


def refusal_in_the_stream(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    """A ping has begun the stream by the time that it is refused."""
    if answer.status < 400 or b'"stream": true' not in call.body:
        return answer
    events = b'event: ping\ndata: {"type": "ping"}\n\nevent: error\ndata: ' + answer.body + b"\n\n"
    return ProxiedAnswer(200, {"content-type": "text/event-stream"}, events)


def without_retry_after(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return answer.without_header("retry-after")


def accepts_handshakes(call: ProxiedCall, answer: ProxiedAnswer) -> ProxiedAnswer:
    return dataclasses.replace(answer, status=101) if "sec-websocket-key" in call.headers else answer
