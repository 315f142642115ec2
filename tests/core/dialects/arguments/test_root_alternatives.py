"""Tools that take one of several forms of arguments, in each notation of arguments."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Tool, ToolCall, ToolChoice, ToolMode
from pensieve.core.dialects.arguments.root_alternatives import MAX_ALTERNATIVES, root_alternatives
from pensieve.core.dialects.dialect import Dialect
from pensieve.models.tokenizers.dialect_of import known_families
from tests.core.dialects.test_grammar import accepts

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "command": {"type": "string", "enum": ["show", "move"]},
        "path": {"type": "string"},
        "lines": {"type": "array", "items": {"type": "integer"}},
        "to": {"type": "string"},
    },
    "required": ["command"],
    "additionalProperties": False,
    "anyOf": [
        {
            "properties": {"command": {"const": "show"}, "path": {}, "lines": {}},
            "required": ["path"],
            "additionalProperties": False,
        },
        {"$ref": "#/$defs/move"},
    ],
    "$defs": {"move": {"properties": {"command": {"const": "move"}}, "required": ["path", "to"]}},
}
VALID = [
    {"command": "show", "path": "/a"},
    {"command": "show", "path": "/a", "lines": [1, -1]},
    {"command": "move", "path": "/a", "to": "/b"},
]
INVALID = [{"command": "show"}, {"command": "move", "path": "/a"}, {"command": "show", "path": "/a", "to": "/b"}]
DIALECTS = [family.dialect for family in reversed(known_families())]
NOTATIONS = {f"{dialect.calls.form.name} {dialect.calls.arguments}": dialect for dialect in DIALECTS}
"""One dialect for each notation."""


@pytest.mark.parametrize("dialect", NOTATIONS.values(), ids=NOTATIONS)
def test_arguments_are_accepted_exactly_if_they_have_one_of_the_forms(dialect: Dialect) -> None:
    tool = Tool("open", "", json.dumps(SCHEMA))
    choice = ToolChoice(ToolMode.AUTO)
    request = GenerationRequest((ChatMessage(Role.USER, "x"),), 9, tools=(tool,), tool_choice=choice)
    for arguments in (*VALID, *INVALID):
        call = dialect.call_text([ToolCall("abcdefghi", "open", json.dumps(arguments))])
        assert accepts(call, request, dialect) == (arguments in VALID), arguments


@pytest.mark.parametrize("arguments", [*VALID, *INVALID, {"command": "show", "path": 1}])
def test_the_alternatives_together_mean_what_the_schema_means(arguments: object) -> None:
    forms = root_alternatives(SCHEMA)
    any_of = any(jsonschema.Draft202012Validator(form).is_valid(arguments) for form in forms)
    assert any_of == jsonschema.Draft202012Validator(SCHEMA).is_valid(arguments)


def test_a_schema_without_alternatives_or_with_too_many_stays_as_it_is() -> None:
    plain = {"type": "object"}
    assert root_alternatives(plain) == [plain]
    crowded = {"type": "object", "anyOf": [{"required": ["a"]}] * (MAX_ALTERNATIVES + 1)}
    assert root_alternatives(crowded) == [crowded]
