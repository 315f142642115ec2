"""Steps about requests that are heavy for their size, and about clients that pause."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from string import ascii_lowercase

import httpx
from pytest_bdd import given, parsers, then, when

from features.harness.scene.media import document_block, pdf_that_draws
from features.harness.scene.scene import Json, Scene, plain_request
from features.harness.target.target import certificates
from features.harness.wire.client import MESSAGES
from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.refusals import error_in

_MAX_SHARED_SECONDS = 5.0
"""Work that heavy and plain requests share may delay a plain one by this."""
_PAUSE_SECONDS = 0.25
"""Between plain requests, which would otherwise take the processor from the heavy one."""
_NUM_SLOW = 6
_SLOW_SECONDS = 30.0
"""How long the slow clients pause, at most."""
_REFUSAL = re.compile(r"HTTP/1\.[01] [45]\d\d")
_MAX_BODY_SECONDS = 10.0
"""The script's server waits two seconds for the rest of a body; a busy machine may be late."""


@given("a request whose PDF has a million operators")
def a_request_with_a_heavy_pdf(scene: Scene) -> None:
    drawn = zlib.compress(b"BT /F1 10 Tf " + b"(a) Tj " * 1_000_000 + b"ET", 9)
    text = {"type": "text", "text": "What does it say?"}
    pdf = pdf_that_draws(drawn, filter_name="FlateDecode")
    scene.body = plain_request(scene.client.model)
    scene.body["messages"] = [{"role": "user", "content": [document_block(pdf), text]}]


@given(parsers.parse("a request with {number:d} PDFs of {length:d} letters each"))
def a_request_with_pdfs(scene: Scene, number: int, length: int) -> None:
    drawn = zlib.compress(b"BT /F1 10 Tf (" + b"a" * length + b") Tj ET", 9)
    document = document_block(pdf_that_draws(drawn, filter_name="FlateDecode"))
    scene.body = plain_request(scene.client.model)
    scene.body["messages"] = [{"role": "user", "content": [document] * number}]


@given(parsers.parse("a request with a result that names a tool of {length:d} characters {number:d} times"))
def a_request_that_names_a_tool(scene: Scene, length: int, number: int) -> None:
    look: Json = {"name": "look", "input_schema": {"type": "object"}}
    paint = {**look, "name": "paint", "description": "a" * length, "defer_loading": True}
    call = {"type": "tool_use", "id": "toolu_01", "name": "look", "input": {}}
    references = [{"type": "tool_reference", "tool_name": "paint"}] * number
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": references}
    scene.body = {**plain_request(scene.client.model), "tools": [look, paint]}
    scene.body["messages"] += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]


@given(parsers.parse("a request with {number:d} content blocks"))
def a_request_with_blocks(scene: Scene, number: int) -> None:
    scene.body = plain_request(scene.client.model)
    scene.body["messages"] = [{"role": "user", "content": [{"type": "text", "text": "a"}] * number}]


@given(parsers.parse("a request with {number:d} numbers in a field that no API has"))
def a_request_with_numbers(scene: Scene, number: int) -> None:
    scene.body = {**plain_request(scene.client.model), "numbers": [0] * number}


@given(parsers.parse("a request with a tool whose schema nests in {number:d} levels"))
def a_request_with_a_deep_schema(scene: Scene, number: int) -> None:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(number // 2):
        schema = {"type": "object", "properties": {"a": schema}}
    scene.body = plain_request(scene.client.model)
    scene.body["tools"] = [{"name": "look", "input_schema": schema}]


@given(parsers.parse("a request with a tool whose schema has trillions of combinations in {what}"))
def a_request_with_many_combinations(scene: Scene, what: str) -> None:
    leaf: Json = {"type": "object", "properties": {"q": {"type": "string"}}}
    if what == "allOf of patterns":
        definitions: Json = {"a": {"type": "string", "allOf": [{"pattern": f"a{number}"} for number in range(40)]}}
    else:
        definitions = _four_of_the_next(leaf) if what == "allOf" else _the_next_or_twice_the_next(leaf)
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": definitions}
    as_text = json.dumps(definitions, separators=(",", ":")).replace('"', "'")
    harmless = {"type": "object", "properties": {"a": {"type": "string", "description": as_text}}}
    scene.body, scene.other_body = (
        {**plain_request(scene.client.model), "tools": [{"name": "look", "input_schema": each}]}
        for each in (schema, harmless)
    )


def _four_of_the_next(leaf: Json) -> Json:
    """4^20 combinations, in few tokens."""
    return _chain(ascii_lowercase[:21], leaf, lambda following: {"allOf": [following] * 4})


def _the_next_or_twice_the_next(leaf: Json) -> Json:
    """3^25 references to follow, and far more combinations to write out."""
    return _chain(ascii_lowercase, leaf, lambda following: {"anyOf": [following, {"allOf": [following] * 2}]})


def _chain(names: str, leaf: Json, refer: Callable[[Json], Json]) -> Json:
    """Definitions, each of which refers to the next one."""
    return {name: refer({"$ref": f"#/$defs/{after}"}) for name, after in pairwise(names)} | {names[-1]: leaf}


@given(parsers.parse("a request with a tool whose schema has {number} as {place:w}"))
def a_request_with_a_number_in_its_schema(scene: Scene, number: str, place: str) -> None:
    value = json.loads(number)
    parts = {"enum": {"enum": [value]}, "const": {"const": value}, "multiple": {"multipleOf": value}}
    part = parts.get(place) or {"minimum": min(value, 2 * value), "maximum": max(value, 2 * value)}
    schema = {"type": "object", "properties": {"a": {"type": "integer", **part}}, "required": ["a"]}
    scene.body = plain_request(scene.client.model)
    scene.body["tools"] = [{"name": "look", "input_schema": schema}]


@given(parsers.parse("a request that forces a call with {number:d} nulls"))
def a_request_that_forces_a_call_with_nulls(scene: Scene, number: int) -> None:
    nulls = {"type": "array", "items": {"type": "null"}, "minItems": number}
    schema = {"type": "object", "properties": {"a": nulls}, "required": ["a"], "additionalProperties": False}
    scene.body = {**plain_request(scene.client.model), "max_tokens": 64}
    scene.body["tools"] = [{"name": "look", "input_schema": schema}]
    scene.body["tool_choice"] = {"type": "tool", "name": "look"}


@when("it is sent, and plain requests meanwhile")
def it_is_sent_and_plain_requests_meanwhile(scene: Scene) -> None:
    _send_beside_plain_requests(scene, _plain_seconds(scene))


@when("a harmless request of the same length is sent, then it, and plain requests meanwhile")
def a_harmless_one_then_it_and_plain_requests_meanwhile(scene: Scene) -> None:
    """A long prompt takes its time on any server, and plain requests share the machine with it."""
    _send_beside_plain_requests(scene, _longest_plain_seconds(scene, scene.other_body))


def _send_beside_plain_requests(scene: Scene, usual_seconds: float) -> None:
    longest_seconds = _longest_plain_seconds(scene, scene.body)
    scene.waited = longest_seconds > _MAX_SHARED_SECONDS + 3 * usual_seconds


def _longest_plain_seconds(scene: Scene, body: Json) -> float:
    """Plain requests follow each other, so that several of them are sent while this one is worked on."""
    content = json.dumps(body, separators=(",", ":")).encode()

    def send() -> None:
        with contextlib.suppress(AssertionError):  # the step after it fails without an answer
            scene.last = scene.client.send("POST", MESSAGES, content=content)

    sender = threading.Thread(target=send)
    sender.start()
    longest_seconds = _plain_seconds(scene)
    while sender.is_alive():
        longest_seconds = max(longest_seconds, _plain_seconds(scene))
        sender.join(_PAUSE_SECONDS)
    return longest_seconds


def _plain_seconds(scene: Scene) -> float:
    started_at = time.monotonic()
    scene.reply = scene.client.post({**plain_request(scene.client.model), "max_tokens": 1})
    return time.monotonic() - started_at


@when("six clients pause within their bodies, and it is sent")
def six_clients_pause(scene: Scene) -> None:
    with contextlib.ExitStack() as slow:
        for _ in range(_NUM_SLOW):
            slow.enter_context(_paused(scene))
        sender = threading.Thread(target=lambda: scene.take_reply(scene.client.post(scene.body)))
        sender.start()
        sender.join(_SLOW_SECONDS)
        scene.waited = sender.is_alive()
    sender.join()


@when("six clients never send the rest of their bodies, and it is sent")
def six_clients_never_send_the_rest(scene: Scene) -> None:
    with contextlib.ExitStack() as slow:
        waiting = [slow.enter_context(_paused(scene)) for _ in range(_NUM_SLOW)]
        scene.take_reply(scene.client.post(scene.body))
        ends_at = time.monotonic() + _MAX_BODY_SECONDS
        scene.openings = [_opening(connection, ends_at) for connection in waiting]


def _opening(connection: socket.socket, ends_at: float) -> str:
    """The status line of what the server says, "closed" or "silence"."""
    connection.settimeout(max(0.1, ends_at - time.monotonic()))
    try:
        return connection.recv(1000).decode("latin-1").partition("\r\n")[0] or "closed"
    except TimeoutError:
        return "silence"
    except ConnectionError:
        return "closed"


@contextlib.contextmanager
def _paused(scene: Scene) -> Iterator[socket.socket]:
    """A client that has sent the beginning of its body."""
    target = scene.client.target
    url = httpx.URL(target.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    with contextlib.ExitStack() as stack:
        connection = stack.enter_context(socket.create_connection((url.host, port), timeout=60))
        if url.scheme == "https":
            connection = stack.enter_context(certificates().wrap_socket(connection, server_hostname=url.host))
        headers = {"host": url.netloc.decode(), "content-length": "1000000", **target.credentials}
        lines = [f"POST {MESSAGES} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        connection.sendall("\r\n".join(lines).encode() + b'{"model": "')
        yield connection


@then("it is answered, or refused by its status")
def it_is_answered_or_refused_by_its_status(scene: Scene) -> None:
    if scene.last.status == 200:
        scene.last.message()
        return
    is_refused = 400 <= scene.last.status < 500 or scene.last.status == 529
    expect_that(is_refused, "an answer, or a refusal of the request", scene.last.status)
    error_in(scene.last)


@then("no plain request waited for it")
def no_plain_request_waited(scene: Scene) -> None:
    scene.reply.message()
    expect_that(not scene.waited, "plain requests to be answered while the heavy one was worked on", "one waited")


@then("the six are refused or disconnected")
def the_six_are_refused_or_disconnected(scene: Scene) -> None:
    wrong = [opening for opening in scene.openings if opening != "closed" and not _REFUSAL.match(opening)]
    expect_equal(wrong, [], "other ends of requests without the rest of their bodies")


@then("it did not wait for them")
def it_did_not_wait_for_them(scene: Scene) -> None:
    expect_that(not scene.waited, "an answer while the others still pause", "none")
