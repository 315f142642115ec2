"""Anthropic's SDK, with strict validation, reads every kind of reply that a request can get."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.types.beta import BetaMessage

from tests.support.running_server import scripted_server

SCRIPT = """
[[reply]]
text = '<think>Which one?</think>Hello <tool_call>{"name": "get", "arguments": {"a": "b c"}}</tool_call>'
"""
TOOL = {"name": "get", "input_schema": {"type": "object"}}
TURNS: list[dict[str, Any]] = [{"role": "user", "content": "Read them all."}]
for call_id in ("t0", "t1", "t2", "t3"):
    TURNS += [
        {"role": "assistant", "content": [{"type": "tool_use", "id": call_id, "name": "get", "input": {"a": "b"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call_id, "content": "word " * 20}]},
    ]
CLEARING = {"edits": [{"type": "clear_tool_uses_20250919", "trigger": {"type": "tool_uses", "value": 1}}]}


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[anthropic.Anthropic]:
    folder: Path = tmp_path_factory.mktemp("scripted")
    with (
        scripted_server(folder, SCRIPT) as client,
        anthropic.Anthropic(
            base_url=str(client.base_url), api_key="any", max_retries=0, _strict_response_validation=True
        ) as sdk,
    ):
        yield sdk


def ask(sdk: anthropic.Anthropic, **fields: Any) -> BetaMessage:
    body: dict[str, Any] = {"model": "claude-any", "max_tokens": 64, "messages": TURNS, "tools": [TOOL], **fields}
    whole: BetaMessage = sdk.beta.messages.create(**body)
    if fields.get("max_tokens") == 0:
        return whole
    with sdk.beta.messages.stream(**body) as stream:
        streamed = stream.get_final_message()
    assert streamed.usage.output_tokens_details == whole.usage.output_tokens_details
    assert streamed.context_management == whole.context_management
    assert streamed.diagnostics == whole.diagnostics
    return whole


def test_applied_edits_and_thinking_tokens(sdk: anthropic.Anthropic) -> None:
    message = ask(sdk, context_management=CLEARING, thinking={"type": "adaptive"})
    assert message.context_management is not None
    assert [edit.type for edit in message.context_management.applied_edits] == ["clear_tool_uses_20250919"]
    assert message.usage.output_tokens_details is not None
    assert 2 <= message.usage.output_tokens_details.thinking_tokens < message.usage.output_tokens


def test_diagnostics(sdk: anthropic.Anthropic) -> None:
    first = ask(sdk, diagnostics={"previous_message_id": None})
    assert first.diagnostics is None
    second = ask(sdk, diagnostics={"previous_message_id": first.id}, system="Now.")
    assert second.diagnostics is not None
    assert second.diagnostics.cache_miss_reason is not None
    assert second.diagnostics.cache_miss_reason.type == "system_changed"


def test_a_max_tokens_of_0(sdk: anthropic.Anthropic) -> None:
    message = ask(sdk, max_tokens=0)
    assert (message.content, message.stop_reason, message.usage.output_tokens) == ([], "max_tokens", 0)


def test_a_call_that_is_cut_off(sdk: anthropic.Anthropic) -> None:
    kinds = [[block.type for block in ask(sdk, max_tokens=number).content] for number in range(3, 9)]
    assert kinds == [*[["text"]] * 3, *[["text", "tool_use"]] * 3]


def test_a_count_before_and_after_edits(sdk: anthropic.Anthropic) -> None:
    counted = sdk.beta.messages.count_tokens(
        model="claude-any",
        messages=TURNS,  # type: ignore[arg-type]  # plain dictionaries
        context_management=CLEARING,  # type: ignore[arg-type]
    )
    assert counted.context_management is not None
    assert counted.input_tokens < counted.context_management.original_input_tokens
