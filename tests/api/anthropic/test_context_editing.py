"""Edits of `context_management`: when they apply, and what a reply says of them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from contracts.values.vocabulary import Prompt
from pensieve.api.anthropic.context_editing import EditedPrompt, edited
from pensieve.api.anthropic.decode import decode_count

TURNS: list[dict[str, Any]] = [{"role": "user", "content": "Read them all."}]
for number in range(4):
    use = {"type": "tool_use", "id": f"t{number}", "name": "read", "input": {"n": number}}
    TURNS += [
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm " * 5, "signature": ""}, use]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": f"t{number}", "content": "word " * 20}]},
    ]


ANOTHER_TURN = [
    {"role": "assistant", "content": "I have read them."},
    {"role": "user", "content": "And now?"},
    {"role": "assistant", "content": [{"type": "thinking", "thinking": "Yes.", "signature": ""}]},
]


def applied(*edits: dict[str, Any], turns: Any = TURNS, counted: list[Prompt] | None = None) -> EditedPrompt:
    """The prompt after the edits, by a model with one token for each word."""
    body = {"model": "m", "messages": turns, "context_management": {"edits": edits}}
    request = decode_count(json.dumps(body).encode())

    async def count(prompt: Prompt) -> int:
        if counted is not None:
            counted.append(prompt)
        return sum(len(f"{message.text} {message.thinking}".split()) for message in prompt.messages)

    return asyncio.run(edited(request.prompt, request.edits or (), count))


def clearing(**fields: Any) -> dict[str, Any]:
    return {"type": "clear_tool_uses_20250919", **fields}


def tokens(value: int) -> dict[str, Any]:
    return {"type": "input_tokens", "value": value}


def uses(value: int) -> dict[str, Any]:
    return {"type": "tool_uses", "value": value}


WHOLE = 3 + 4 * (5 + 20)


@pytest.mark.parametrize(
    ("fields", "number"),
    [
        ({}, 0),
        ({"trigger": tokens(WHOLE)}, 0),
        ({"trigger": tokens(WHOLE - 1)}, 1),
        ({"trigger": uses(4)}, 0),
        ({"trigger": uses(3)}, 1),
        ({"trigger": uses(0), "keep": uses(0)}, 4),
        ({"trigger": uses(0), "keep": uses(1), "clear_at_least": tokens(61)}, 0),
        ({"trigger": uses(0), "keep": uses(1), "clear_at_least": tokens(60)}, 3),
        ({"trigger": uses(0), "keep": uses(1), "clear_at_least": tokens(40)}, 2),
        ({"trigger": uses(0), "keep": uses(0), "exclude_tools": ["read"]}, 0),
    ],
)
def test_results_are_cleared_once_the_prompt_exceeds_the_trigger(fields: dict[str, Any], number: int) -> None:
    context = applied(clearing(**fields))
    cleared = 15 * number  # a result of 20 words becomes a note of 5
    entry = {"type": "clear_tool_uses_20250919", "cleared_tool_uses": number, "cleared_input_tokens": cleared}
    assert context.applied == ((entry,) if number else ())


def test_nothing_is_counted_where_nothing_can_be_cleared() -> None:
    """Claude Code sends the first of these with every request."""
    counted: list[Prompt] = []
    assert applied({"type": "clear_thinking_20251015", "keep": "all"}, counted=counted).applied == ()
    assert applied(clearing(keep=uses(4)), counted=counted).applied == ()
    assert counted == []


def test_both_edits_are_reported_in_their_order() -> None:
    thinking = {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 1}}
    context = applied(thinking, clearing(trigger=uses(0)), turns=[*TURNS, *ANOTHER_TURN])
    assert context.applied == (
        {"type": "clear_thinking_20251015", "cleared_thinking_turns": 1, "cleared_input_tokens": 20},
        {"type": "clear_tool_uses_20250919", "cleared_tool_uses": 1, "cleared_input_tokens": 15},
    )
