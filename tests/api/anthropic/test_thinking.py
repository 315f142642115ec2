"""Thinking in a Messages request: three fields become one value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.values.vocabulary import Thinking
from pensieve.api.anthropic.decode import decode_count, decode_messages
from pensieve.core.errors import ValidationError

BODY: dict[str, Any] = {"model": "m", "max_tokens": 4096, "messages": [{"role": "user", "content": "Hi"}]}


def clearing(**fields: object) -> dict[str, object]:
    return {"context_management": {"edits": [{"type": "clear_thinking_20251015", **fields}]}}


def encoded(fields: dict[str, object]) -> bytes:
    return json.dumps({**BODY, **fields}).encode()


@pytest.mark.parametrize(
    ("fields", "thinking"),
    [
        ({}, Thinking()),
        ({"thinking": {"type": "disabled"}}, Thinking()),
        ({"thinking": {"type": "adaptive"}}, Thinking(enabled=True)),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, Thinking(enabled=True, budget_tokens=1024)),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, Thinking(enabled=True, omitted=True)),
        ({"thinking": {"type": "adaptive", "display": "updates"}}, Thinking(enabled=True)),
        ({"output_config": {"effort": "low"}}, Thinking(effort="low")),
        ({"output_config": {"effort": None}}, Thinking()),
        (
            {"output_config": {"effort": "xhigh"}, "thinking": {"type": "adaptive"}},
            Thinking(enabled=True, effort="xhigh"),
        ),
        (clearing(keep="all"), Thinking(keeps_past=True)),
        (clearing(keep={"type": "all"}), Thinking(keeps_past=True)),
        (clearing(keep={"type": "thinking_turns", "value": 1}), Thinking(keeps_past=True)),
        (clearing(keep={"type": "thinking_turns", "value": 3}), Thinking(keeps_past=True)),
        (clearing(), Thinking()),
        ({"context_management": {"edits": []}}, Thinking()),
        ({"context_management": None}, Thinking()),
        ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, Thinking()),
    ],
)
def test_thinking_is_decoded_the_same_for_messages_and_counts(fields: dict[str, object], thinking: Thinking) -> None:
    assert decode_messages(encoded(fields)).generation.thinking == thinking
    assert decode_count(encoded(fields)).prompt.thinking == thinking


@pytest.mark.parametrize("effort", ["low", "medium", "high", "xhigh", "max"])
def test_every_effort_of_the_api_is_accepted(effort: str) -> None:
    assert decode_messages(encoded({"output_config": {"effort": effort}})).generation.thinking.effort == effort


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"output_config": {"effort": "immense"}}, "output_config.effort"),
        ({"output_config": {"effort": 3}}, "output_config.effort"),
        ({"context_management": []}, "context_management"),
        (clearing(keep="most"), "context_management.edits.0.keep"),
        (clearing(keep={"type": "thinking_turns", "value": 0}), "context_management.edits.0.keep.value"),
        (clearing(keep=[1]), "context_management.edits.0.keep"),
    ],
)
def test_an_error_names_the_field(fields: dict[str, object], path: str) -> None:
    for decode in (decode_messages, decode_count):
        with pytest.raises(ValidationError) as caught:
            decode(encoded(fields))
        assert caught.value.field == path
