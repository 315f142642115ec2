"""Thinking that a client does not see comes back with its signature."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.generation import GenerationFinished, GenerationStarted, TextGenerated, ThinkingGenerated, Usage
from contracts.values.vocabulary import StopReason
from pensieve.api.anthropic.decode import decode_messages
from pensieve.api.anthropic.events import MessageEvents
from pensieve.api.anthropic.wire.signature import MAX_THINKING_BYTES, signature_of, thinking_in

ANSWER = (
    GenerationStarted(5),
    ThinkingGenerated("Which ", 1),
    ThinkingGenerated("one?", 2),
    TextGenerated("Seven.", 3),
    GenerationFinished(StopReason.END_TURN, Usage(5, 4)),
)


def blocks_of_answer(*, omits_thinking: bool) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    events = MessageEvents("m", omits_thinking=omits_thinking)
    for event in (each for generated in ANSWER for each in events.convert(generated)):
        data: dict[str, Any] = event
        if data["type"] == "content_block_start":
            blocks.append(dict(data["content_block"]))
        elif data["type"] == "content_block_delta":
            name = data["delta"]["type"].removesuffix("_delta")
            blocks[-1][name] += data["delta"][name]
    return blocks


@pytest.mark.parametrize("omits_thinking", [True, False])
def test_a_turn_that_comes_back_has_its_thinking(omits_thinking: bool) -> None:  # noqa: FBT001
    blocks = blocks_of_answer(omits_thinking=omits_thinking)
    assert blocks[0]["thinking"] == ("" if omits_thinking else "Which one?")
    question = {"role": "user", "content": "Hi"}
    body = {"model": "m", "max_tokens": 8, "messages": [question, {"role": "assistant", "content": blocks}, question]}
    assert decode_messages(json.dumps(body).encode()).generation.messages[1].thinking == "Which one?"


@given(st.text())
def test_a_signature_returns_what_it_holds(thinking: str) -> None:
    assert thinking_in(signature_of(thinking, holds_thinking=True)) == thinking
    assert thinking_in(signature_of(thinking)) == ""


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_any_other_signature_holds_nothing_or_text(signature: str) -> None:
    assert isinstance(thinking_in(signature), str)


def test_a_small_signature_never_becomes_a_huge_prompt() -> None:
    bomb = base64.b64encode(bytes(32) + zlib.compress(bytes(2 * MAX_THINKING_BYTES), 9)).decode()
    assert len(bomb) < 60_000
    assert len(thinking_in(bomb)) <= MAX_THINKING_BYTES
