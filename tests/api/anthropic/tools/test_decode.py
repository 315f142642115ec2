"""Tools that Anthropic defines: which the model may call, and which are refused."""

import json
from typing import Any

import pytest

from contracts.values.vocabulary import GenerationRequest, ToolMode
from pensieve.api.anthropic.decode import decode_count, decode_messages
from pensieve.core.errors import ValidationError

OWN: dict[str, Any] = {"name": "paint", "description": "Paints.", "input_schema": {"type": "object"}}
DEFERRED = {**OWN, "defer_loading": True}
BASH = {"type": "bash_20250124", "name": "bash"}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}
FIND = {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}


def decoded(tools: list[Any], **fields: Any) -> GenerationRequest:
    body = {"model": "m", "max_tokens": 8, "messages": [{"role": "user", "content": "Hi"}], "tools": tools, **fields}
    generation = decode_messages(json.dumps(body).encode()).generation
    assert decode_count(json.dumps(body).encode()).prompt == generation.prompt
    return generation


def error_of(tools: list[Any], **fields: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        decoded(tools, **fields)
    return str(caught.value)


def names(request: GenerationRequest) -> list[str]:
    return [tool.name for tool in request.tools]


def test_a_client_tool_becomes_a_tool_with_its_known_schema() -> None:
    (tool,) = decoded([BASH]).tools
    assert (tool.name, tool.deferred, tool.unavailable) == ("bash", False, False)
    assert "bash session" in tool.description
    assert json.loads(tool.input_schema)["properties"]["command"]["type"] == "string"


def test_a_client_tool_may_be_forced_and_may_be_deferred() -> None:
    assert decoded([BASH], tool_choice={"type": "tool", "name": "bash"}).tool_choice.name == "bash"
    assert names(decoded([OWN, {**BASH, "defer_loading": True}])) == ["paint"]


def test_max_characters_is_in_the_description() -> None:
    editor = {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool", "max_characters": 4321}
    assert "4321 characters" in decoded([editor]).tools[0].description
    assert error_of([{**editor, "type": "text_editor_20250429"}]).startswith("tools.0.max_characters: ")


def test_input_examples_are_in_the_description() -> None:
    with_examples = {**OWN, "input_examples": [{"colour": "grün"}, {}]}
    assert decoded([with_examples]).tools[0].description == 'Paints.\nExamples of input:\n{"colour": "grün"}\n{}'
    assert error_of([{**OWN, "input_examples": [{}] * 65}]).startswith("tools.0.input_examples: ")


def test_a_forced_deferred_tool_is_described() -> None:
    (tool,) = decoded([DEFERRED], tool_choice={"type": "tool", "name": "paint"}).tools
    assert not tool.deferred


def test_a_tool_search_shows_all_deferred_tools_in_their_order() -> None:
    request = decoded([FIND, {**BASH, "defer_loading": True}, DEFERRED])
    assert [(tool.name, tool.deferred) for tool in request.tools] == [("bash", False), ("paint", False)]


@pytest.mark.parametrize(
    "kind", ["web_search_20250305", "web_fetch_20991231", "code_execution_20250825", "advisor_20260301"]
)
def test_a_server_tool_beside_others_is_described_as_unavailable(kind: str) -> None:
    server_tool = {"type": kind, "name": kind.rpartition("_")[0]}
    tool = decoded([OWN, server_tool]).tools[1]
    assert tool.unavailable
    assert "every call fails" in tool.description


def test_any_tool_means_one_that_runs() -> None:
    assert decoded([OWN, SEARCH], tool_choice={"type": "any"}).tool_choice.mode is ToolMode.ANY
    assert "cannot run web_search" in error_of([DEFERRED, SEARCH], tool_choice={"type": "any"})


@pytest.mark.parametrize(
    ("tools", "choice", "path", "words"),
    [
        ([SEARCH], None, "tools.0.type", "cannot run web_search_20250305"),
        ([OWN], {"type": "tool"}, "tool_choice.name", "Field required"),
        ([SEARCH, FIND], None, "tools.0.type", "cannot run web_search_20250305"),
        ([FIND], None, "tools.0.type", "send tools for it to find"),
        ([DEFERRED], None, "tools", "defer_loading"),
        ([DEFERRED], {"type": "any"}, "tools", "defer_loading"),
        ([], {"type": "any"}, "tool_choice", "requires tools"),
        ([], {"type": "tool", "name": "paint"}, "tool_choice.name", "'paint' is not the name of a tool"),
        ([OWN, SEARCH], {"type": "tool", "name": "web_search"}, "tool_choice.name", "cannot run web_search"),
        ([FIND, DEFERRED], {"type": "tool", "name": FIND["name"]}, "tool_choice.name", "cannot run tool_search"),
        ([OWN, {"type": "computer_20250124", "name": "computer"}], None, "tools.1.type", "images are not supported"),
        ([OWN, {"type": "browser_toolset_20260801"}], None, "tools.1.type", "browser_toolset_20260801"),
        ([OWN, {"type": "mcp_toolset", "mcp_server_name": "a"}], None, "tools.1.type", "connect to it in the client"),
        ([OWN, {"type": "hologram_20270101", "name": "h"}], None, "tools.1.type", "'hologram_20270101'"),
        ([{"type": "bash_20270101", "name": "bash"}], None, "tools.0.type", "bash_20250124"),
        ([{**BASH, "name": "shell"}], None, "tools.0.name", "must be 'bash'"),
        ([{"type": "bash_20250124"}], None, "tools.0.name", "must be 'bash'"),
        ([{"type": 7, "name": "a"}], None, "tools.0.type", "string"),
        ([SEARCH, {**OWN, "name": "web_search"}], None, "tools.1.name", "unique"),
        ([{**OWN, "allowed_callers": ["code_execution_20250825"]}], None, "tools.0.allowed_callers", "add 'direct'"),
        ([{**OWN, "allowed_callers": "direct"}], None, "tools.0.allowed_callers", "array"),
        ([{**OWN, "allowed_callers": ["anyone"]}], None, "tools.0.allowed_callers.0", "pattern"),
        ([{**OWN, "strict": "yes"}], None, "tools.0.strict", "boolean"),
    ],
)
def test_a_tool_that_cannot_be_offered_is_refused_by_name(tools: list[Any], choice: Any, path: str, words: str) -> None:
    error = error_of(tools, tool_choice=choice)
    assert error.startswith(f"{path}: ")
    assert words in error
