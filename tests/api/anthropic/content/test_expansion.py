"""What few bytes of a request stand for counts as if it were sent."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from features.harness.scene.media import document_block, pdf_that_draws
from pensieve.api.anthropic.decode import decode_count
from pensieve.api.openai.decode import decode_chat
from pensieve.core.errors import ValidationError

Json = dict[str, Any]
LENGTH = 100_000
LIMIT = 1_000_000
LOOK = {"name": "look", "input_schema": {"type": "object"}}
PAINT = {**LOOK, "name": "paint", "description": "a" * LENGTH, "defer_loading": True}


def decoded(*turns: Json, **fields: Any) -> object:
    return decode_count(json.dumps({"model": "m", "messages": [*turns], **fields}).encode())


def pdf() -> Json:
    drawn = zlib.compress(b"BT /F1 10 Tf (" + b"a" * LENGTH + b") Tj ET", 9)
    return document_block(pdf_that_draws(drawn, filter_name="FlateDecode"))


def named(number: int) -> object:
    call = {"type": "tool_use", "id": "toolu_01", "name": "look", "input": {}}
    references = [{"type": "tool_reference", "tool_name": "paint"}] * number
    result = {"type": "tool_result", "tool_use_id": "toolu_01", "content": references}
    turns = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": [call]})
    return decoded(*turns, {"role": "user", "content": [result]}, tools=[LOOK, PAINT])


def added(number: int) -> object:
    addition = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "paint"}}
    turns = ({"role": "user", "content": "Hi"}, {"role": "system", "content": [addition] * number})
    return decoded(*turns, tools=[LOOK, PAINT])


def documents(number: int) -> object:
    return decoded({"role": "user", "content": [pdf()] * number})


def signatures(number: int) -> object:
    signature = base64.b64encode(bytes(32) + zlib.compress(b"a" * LENGTH)).decode()
    thought = {"type": "thinking", "thinking": "", "signature": signature}
    answer = {"role": "assistant", "content": [*[thought] * number, {"type": "text", "text": "a"}]}
    return decoded({"role": "user", "content": "Hi"}, answer, {"role": "user", "content": "Hi"})


def files(number: int) -> object:
    part = {"type": "file", "file": {"file_data": pdf()["source"]["data"]}}
    body = {"model": "m", "messages": [{"role": "user", "content": [part] * number}]}
    return decode_chat(json.dumps(body).encode())


@pytest.fixture(autouse=True)
def small_limit_and_pdfs_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the server, where a process reads the PDFs of a request."""
    extract = {"text": "a" * LENGTH}
    monkeypatch.setattr("pensieve.api.anthropic.wire.expansion.MAX_CHARACTERS", LIMIT)
    monkeypatch.setattr("pensieve.api.anthropic.content.documents.pdf_extract", lambda _: extract)


@pytest.mark.parametrize(
    ("decode", "field"),
    [
        (named, "messages.2.content.0.content.9.tool_name"),
        (added, "messages.1.content.9.tool.name"),
        (documents, "messages.0.content.9.source.data"),
        (signatures, "messages.1.content.10.signature"),
        (files, "messages.0.content.9.file.file_data"),
    ],
)
def test_what_stands_for_more_than_a_body_is_refused_by_name(decode: Callable[[int], object], field: str) -> None:
    decode(LIMIT // LENGTH - 1)
    with pytest.raises(ValidationError, match="stand for more than 1 MB of text") as refused:
        decode(LIMIT // LENGTH + 1)
    assert refused.value.field == field
