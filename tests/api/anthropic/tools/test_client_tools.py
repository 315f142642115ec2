"""The known schemas of tools that clients run, against the types of Anthropic's SDK."""

import json
import re
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from anthropic.types import ToolUnionParam
from anthropic.types.beta import BetaMemoryTool20250818Command, BetaToolUnionParam

from pensieve.api.anthropic.tools.client_tools import client_tools
from pensieve.api.anthropic.tools.server_tools import is_tool_search, server_tool, why_refused

ANTHROPIC_TOOLS = [*get_args(ToolUnionParam), *get_args(BetaToolUnionParam)]


def literals_of(hint: Any) -> list[str]:
    """The values of a type such as Required[Literal["bash"]]; none if it allows any."""
    while hint is not None and get_origin(hint) is not Literal:
        hint = next(iter(get_args(hint)), None)
    return [value for value in get_args(hint) if value != "custom"]


MEMORY_COMMANDS = get_args(get_args(BetaMemoryTool20250818Command)[0])
HINTS = [get_type_hints(tool) for tool in ANTHROPIC_TOOLS]
NAMES = {kind: literals_of(hints.get("name")) for hints in HINTS for kind in literals_of(hints["type"])}


@pytest.mark.parametrize("kind", NAMES)
def test_every_type_of_tool_in_the_sdk_is_known(kind: str) -> None:
    if is_tool_search(kind):
        return
    if why_refused(kind):
        assert re.match("computer|browser|mcp", kind)
        return
    tool = client_tools().get(kind) or server_tool(kind)
    assert tool is not None, f"{kind} is new in the SDK"
    assert [tool.name] == NAMES[kind]


def accepts(kind: str, given: object) -> bool:
    schema = json.loads(client_tools()[kind].input_schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("bash_20250124", {"command": "ls"}),
        ("bash_20250124", {"restart": True}),
        ("text_editor_20241022", {"command": "undo_edit", "path": "/a"}),
        ("text_editor_20250124", {"command": "insert", "path": "/a", "insert_line": 0, "new_str": "x"}),
        ("text_editor_20250429", {"command": "view", "path": "/a", "view_range": [1, -1]}),
        ("text_editor_20250728", {"command": "insert", "path": "/a", "insert_line": 2, "insert_text": "x"}),
        ("text_editor_20250728", {"command": "str_replace", "path": "/a", "old_str": "x"}),
        ("memory_20250818", {"command": "view", "path": "/memories"}),
    ],
)
def test_a_documented_input_matches_the_schema(kind: str, given: object) -> None:
    assert accepts(kind, given)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("bash_20250124", {}),
        ("bash_20250124", {"restart": False}),
        ("bash_20250124", {"command": "ls", "timeout": 3}),
        ("text_editor_20250429", {"command": "undo_edit", "path": "/a"}),
        ("text_editor_20250728", {"command": "view"}),
        ("text_editor_20250728", {"command": "insert", "path": "/a", "insert_line": 2, "new_str": "x"}),
        ("text_editor_20250728", {"command": "view", "path": "/a", "file_text": "x"}),
        ("memory_20250818", {"command": "rename", "path": "/memories/a"}),
    ],
)
def test_an_input_that_no_client_could_run_does_not_match(kind: str, given: object) -> None:
    assert not accepts(kind, given)


@pytest.mark.parametrize("command", MEMORY_COMMANDS, ids=lambda each: each.__name__)
def test_the_memory_tool_takes_exactly_what_the_sdks_commands_require(command: Any) -> None:
    values = {"command": literals_of(command.model_fields["command"].annotation)[0], "insert_line": 1}
    required = {
        name: values.get(name, "/memories/a") for name, field in command.model_fields.items() if field.is_required()
    }
    assert accepts("memory_20250818", required)
    assert not any(
        accepts("memory_20250818", {key: value for key, value in required.items() if key != left_out})
        for left_out in required
    )
