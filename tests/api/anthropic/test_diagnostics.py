"""The reply's `diagnostics`, in the shapes of the SDK."""

from __future__ import annotations

import json
from typing import Any

from anthropic.types import Diagnostics
from pydantic import TypeAdapter

from contracts.values.generation import GenerationStarted
from pensieve.api.anthropic.decode import decode_messages
from pensieve.api.anthropic.diagnostics import MAX_FINGERPRINTS, Fingerprints, fingerprint_of
from pensieve.core.prompts.request_fingerprint import RequestFingerprint

TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "Go"}]


def fingerprint(**fields: Any) -> RequestFingerprint:
    body = {"model": "m", "max_tokens": 8, "system": "Be brief. " * 50, "messages": TURNS, **fields}
    decoded = decode_messages(json.dumps(body).encode())
    return fingerprint_of(decoded.generation, decoded.model_name, decoded.edits)


def reason(**fields: Any) -> Any:
    known = Fingerprints()
    known.record("msg_1", fingerprint(), GenerationStarted(1000))
    diagnosis = known.diagnosis(fingerprint(**fields), "msg_1")
    if diagnosis is None:
        return None
    TypeAdapter(Diagnostics).validate_python(diagnosis, strict=True)
    return diagnosis["cache_miss_reason"]


def test_the_reason_is_the_first_part_that_differs() -> None:
    assert reason() is None
    assert reason(messages=[*TURNS, {"role": "assistant", "content": "Gone."}], max_tokens=9, stream=True) is None
    assert reason(model="n") == {"type": "model_changed", "cache_missed_input_tokens": 1000}
    assert reason(system="Be long.")["type"] == "system_changed"
    assert reason(tools=[{"name": "x", "input_schema": {"type": "object"}}])["type"] == "tools_changed"
    assert reason(messages=TURNS[2:])["type"] == "messages_changed"
    assert reason(thinking={"type": "adaptive"}) == {"type": "unavailable"}


def test_text_that_is_no_part_of_the_prompt_makes_no_difference() -> None:
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=1.abc;"}
    assert reason(system=[billing, {"type": "text", "text": "Be brief. " * 50}]) is None


def test_an_unknown_message_is_not_found_and_old_ones_are_forgotten() -> None:
    known = Fingerprints()
    for number in range(MAX_FINGERPRINTS + 1):
        known.record(f"msg_{number}", fingerprint(), GenerationStarted(1000))
    not_found = {"cache_miss_reason": {"type": "previous_message_not_found"}}
    assert known.diagnosis(fingerprint(), "msg_0") == not_found
    assert known.diagnosis(fingerprint(), "msg_1") is None
    assert known.diagnosis(fingerprint(), None) is None
    TypeAdapter(Diagnostics).validate_python(not_found, strict=True)
