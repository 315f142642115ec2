"""Requests of a few kilobytes whose work would take minutes: they are refused by name, and delay no other client."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest

from features.harness.scene.media import document_block
from tests.api.pdfs.examples import LONG_TEXT, encrypted, pdf, shown
from tests.chaos.arena import IS_WHOLE, Arena, ask
from tests.chaos.connections import left_early
from tests.support.waiting import wait_until

ENUM_VALUES = [{"key": number, "values": [number, str(number)]} for number in range(4000)]
DRAFT_04 = "http://json-schema.org/draft-04/schema#"


def with_document(data: str) -> Mapping[str, object]:
    return ask(messages=[{"role": "user", "content": [document_block(base64.b64decode(data))]}])


def with_schema(schema: object) -> Mapping[str, object]:
    return ask(tools=[{"name": "get", "input_schema": schema}])


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return {"type": "object", "properties": {"a": schema}}


def tools(number: int) -> list[dict[str, object]]:
    return [{"name": f"tool_{each}", "input_schema": {"type": "object"}} for each in range(number)]


SLOW = {
    "a million operators on a page": with_document(pdf(LONG_TEXT)),
    "sixty pages that share a stream": with_document(pdf(b"BT /F1 10 Tf " + b"(a) Tj " * 50_000 + b"ET", num_pages=60)),
}
NUM_CLIENTS = 6 if IS_WHOLE else 2
REFUSED = {
    "ten thousand pages": (with_document(pdf(shown("Blue"), num_pages=10_000)), "source.data"),
    "a PDF with a password": (with_document(encrypted("RC4-128", "secret")), "source.data"),
    "a PDF with JBIG2": (with_document(pdf(b"x", filter_name="JBIG2Decode", packed=False)), "source.data"),
    "a PDF with an unknown filter": (with_document(pdf(b"x", filter_name="Unknown", packed=False)), "source.data"),
    "items nested 90 deep": (with_schema(nested(90)), "tools.0.input_schema"),
    "a schema of 30,000 parts": (
        with_schema({"type": "object", "properties": {"a": {"anyOf": [{}] * 30_000}}}),
        "tools.0.input_schema",
    ),
    "a thousand tools": (ask(tools=tools(1000)), "tools"),
    "a number as $schema": (with_schema({"type": "object", "$schema": 7}), "tools.0.input_schema"),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_pdf_is_refused_by_name_and_ends_when_its_client_leaves(scene: Arena, name: str) -> None:
    with scene.attacked(f"{name}, clients that leave"), left_early(scene.port, SLOW[name], NUM_CLIENTS):
        wait_until(scene.num_readers)
        scene.wait_for_tokens()
    wait_until(lambda: not scene.num_readers())
    if IS_WHOLE:  # it takes the 30 s of CPU time that a PDF may have
        with scene.attacked(name):
            replies = scene.post_at_once(SLOW[name], NUM_CLIENTS)
        assert {reply.status for reply in replies} == {400}
        assert {"source.data" in reply.message for reply in replies} == {True}, replies[0].message


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_by_name_while_others_are_served(scene: Arena, name: str) -> None:
    body, field = REFUSED[name]
    with scene.attacked(name):
        replies = scene.post_at_once(body, NUM_CLIENTS // 2)
    assert {reply.status for reply in replies} == {400}, {reply.message for reply in replies}
    assert {field in reply.message for reply in replies} == {True}, {reply.message for reply in replies}


@pytest.mark.parametrize("number", [1000, 4000] if IS_WHOLE else [1000])
def test_an_enum_of_thousands_of_objects_is_checked_at_once(scene: Arena, number: int) -> None:
    schema = {
        "$schema": DRAFT_04,
        "type": "object",
        "properties": {"a": {"enum": ENUM_VALUES[:number]}},
    }
    with scene.attacked(f"an enum of {number} objects"):
        replies = scene.post_at_once(with_schema(schema), NUM_CLIENTS // 2)
    assert {reply.status for reply in replies} <= {200, 400}, {reply.body for reply in replies}
