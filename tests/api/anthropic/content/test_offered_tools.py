"""Tools that a conversation names, adds and removes: which are described, where, and which may be called."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contracts.values.vocabulary import GenerationRequest
from pensieve.api.anthropic.decode import decode_messages
from pensieve.core.dialects.grammar import callable_tools
from pensieve.core.errors import ValidationError

Json = dict[str, Any]
SCHEMA = {"type": "object", "properties": {}}
SAIL = {"name": "sail", "description": "Sails away", "input_schema": SCHEMA}
DIVE = {"name": "dive", "description": "Dives down", "input_schema": SCHEMA, "defer_loading": True}


def changed(*blocks: Json, **fields: Any) -> GenerationRequest:
    """A request whose system message has these blocks."""
    messages = [{"role": "user", "content": "Hi"}, {"role": "system", "content": list(blocks)}]
    body = {"model": "m", "max_tokens": 8, "messages": messages, "tools": [SAIL, DIVE], **fields}
    return decode_messages(json.dumps(body).encode()).generation


def addition(name: str) -> Json:
    return {"type": "tool_addition", "tool": {"type": "tool_reference", "name": name}}


def definition(tool: Json) -> Json:
    return {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": tool}}


def removal(name: str) -> Json:
    return {"type": "tool_removal", "tool": {"type": "tool_reference", "name": name}}


def callable_names(request: GenerationRequest) -> list[str]:
    return [tool.name for tool in callable_tools(request.tools, request.tool_choice)]


def head(request: GenerationRequest) -> list[str]:
    """The tools that are described at the head of the prompt."""
    return [tool.name for tool in request.tools if not tool.deferred]


def note(request: GenerationRequest) -> str:
    return request.messages[-1].text


def test_an_added_tool_is_described_where_it_is_added_and_can_be_called() -> None:
    request = changed(addition("dive"))
    assert callable_names(request) == ["sail", "dive"]
    assert head(request) == ["sail"]
    assert note(request).startswith('A tool is available from now on: {"type": "function", "function": {"name": "dive"')


def test_a_tool_defined_in_the_conversation_can_be_called() -> None:
    request = changed(definition({"name": "row", "description": "Rows home", "input_schema": SCHEMA}))
    assert callable_names(request) == ["sail", "row"]
    assert head(request) == ["sail"]
    assert '"description": "Rows home"' in note(request)


def test_a_removed_tool_stays_at_the_head_of_the_prompt_but_cannot_be_called() -> None:
    request = changed(removal("sail"))
    assert callable_names(request) == []
    assert head(request) == ["sail"]
    assert note(request) == "A tool is no longer available: sail"


def test_a_removed_tool_can_come_back() -> None:
    request = changed(removal("sail"), addition("sail"))
    assert callable_names(request) == ["sail"]
    assert note(request).endswith("A tool is available from now on: sail")
    assert callable_names(changed(addition("dive"), removal("dive"))) == ["sail"]
    assert callable_names(changed(addition("dive"), removal("dive"), addition("dive"))) == ["sail", "dive"]


def test_a_new_definition_replaces_the_one_at_the_head_of_the_prompt() -> None:
    request = changed(removal("sail"), definition(SAIL | {"description": "Sails home"}))
    assert head(request) == ["sail"]
    (tool,) = callable_tools(request.tools, request.tool_choice)
    assert (tool.description, tool.deferred) == ("Sails home", True)
    again = changed(definition(SAIL | {"description": "Sails home"}), definition(SAIL | {"description": "Sails far"}))
    assert [tool.description for tool in callable_tools(again.tools, again.tool_choice)] == ["Sails far"]


def test_the_head_of_the_prompt_keeps_its_order_when_a_tool_there_is_redefined() -> None:
    """In another order, the whole prompt would be computed again."""
    row = {"name": "row", "description": "Rows home", "input_schema": SCHEMA}
    request = changed(definition(row | {"description": "Rows away"}), tools=[SAIL, row, DIVE])
    assert head(request) == ["sail", "row"]


def test_a_removed_tool_cannot_be_forced() -> None:
    with pytest.raises(ValidationError, match=r"^tool_choice.name: the conversation has removed sail"):
        changed(removal("sail"), addition("dive"), tool_choice={"type": "tool", "name": "sail"})
    search = {"type": "web_search_20250305", "name": "web_search"}
    with pytest.raises(
        ValidationError, match=r"the conversation has removed sail, and this server cannot run web_search$"
    ):
        changed(removal("sail"), tools=[SAIL, search], tool_choice={"type": "any"})
    with pytest.raises(ValidationError, match=r"^tool_choice: .* the conversation has removed sail$"):
        changed(removal("sail"), tool_choice={"type": "any"})


def test_a_tool_that_is_gone_leaves_a_placeholder() -> None:
    assert "a tool named row, which is not among the tools" in note(changed(addition("row")))


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"type": "tool_addition", "tool": {"type": "tool_reference"}}, "messages.1.content.0.tool.name"),
        ({"type": "tool_addition", "tool": {"type": "tool_definition"}}, "messages.1.content.0.tool.definition"),
        ({"type": "tool_removal", "tool": {"type": "tool_definition"}}, "messages.1.content.0.tool.name"),
        ({"type": "tool_addition", "tool": {"type": "of_tomorrow"}}, "messages.1.content.0.tool.type"),
        ({"type": "tool_removal"}, "messages.1.content.0.tool"),
    ],
)
def test_an_incomplete_change_is_refused_with_the_path_of_the_field(block: Json, path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        changed(block)
    assert caught.value.field == path
