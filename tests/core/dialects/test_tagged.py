"""Calls in tags: what the grammar accepts, the reader parses, and the arguments validate."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, Tool, ToolChoice, ToolMode
from pensieve.core.dialects.call_reader import CallReader, NotACallError
from pensieve.core.dialects.dialect import CallForm, CallSyntax, Dialect
from tests.core.dialects.test_grammar import accepts

DIALECT = Dialect(
    calls=CallSyntax(
        form=CallForm.TAGGED,
        call="\n<function={name}>\n{parameters}</function>\n</tool_call>",
        parameter="<parameter={key}>\n{value}\n</parameter>\n",
    )
)
SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "mode": {"enum": ["read", "write", "größe"]},
        "lines": {"type": "array", "items": {"type": "integer"}},
        "größe": {"type": "boolean"},
        "from": {"$ref": "#/$defs/place"},
    },
    "required": ["path", "lines"],
    "$defs": {"place": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
}
OPEN = Tool("open", "", json.dumps(SCHEMA))
ANYTHING = Tool("any", "", '{"type": "object"}')
NOTHING = Tool("none", "", '{"type": "object", "properties": {}, "additionalProperties": false}')


def body(name: str, **parameters: str) -> str:
    parameters_text = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters.items())
    return f"\n<function={name}>\n{parameters_text}</function>\n</tool_call>"


def call(name: str, **parameters: str) -> str:
    return f"<tool_call>{body(name, **parameters)}"


def request_for(mode: ToolMode = ToolMode.AUTO) -> GenerationRequest:
    tools = (OPEN, ANYTHING, NOTHING)
    return GenerationRequest((ChatMessage(Role.USER, "x"),), 9, tools=tools, tool_choice=ToolChoice(mode))


@pytest.mark.parametrize("mode", [ToolMode.AUTO, ToolMode.ANY])
def test_a_call_is_accepted_exactly_if_it_satisfies_its_schema(mode: ToolMode) -> None:
    for answer in [
        call("open", path="/a <b>", lines="[1, 2]"),
        call("open", path="", mode="größe", lines="[]", größe="true", **{"from": "null"}),
        call("any", whatever="it is\n</a> fine"),
        call("none"),
    ]:
        assert accepts(answer, request_for(mode), DIALECT), answer
    for answer in [
        call("open", path="/a"),
        call("open", lines="[1]"),
        call("open", path="/a", lines="one"),
        call("open", path="/a", mode="append", lines="[]"),
        call("open", path="/a", lines="[]", other="1"),
        call("close"),
        call("none", a="b"),
    ]:
        assert not accepts(answer, request_for(mode), DIALECT), answer


def read(text: str) -> list[tuple[str, Any]]:
    calls, end = CallReader(DIALECT, (OPEN, ANYTHING, NOTHING)).read(text)
    assert end == len(text)
    return [(name, json.loads(arguments)) for name, arguments in calls]


@given(
    path=st.text().filter(lambda text: "</parameter>" not in text),
    lines=st.lists(st.integers(-99, 99), max_size=3),
    rest=st.fixed_dictionaries({}, optional={"größe": st.booleans(), "from": st.none() | st.integers(0, 9)}),
)
def test_arguments_round_trip(path: str, lines: list[int], rest: dict[str, Any]) -> None:
    written = {key: json.dumps(value) for key, value in {"lines": lines, **rest}.items()}
    ((name, arguments),) = read(body("open", path=path, **written))
    assert (name, arguments) == ("open", {"path": path, "lines": lines, **rest})
    jsonschema.validate(arguments, SCHEMA)


@pytest.mark.parametrize(
    "value",
    [
        "    indented\n\tand a last line\n",
        "null",
        "true",
        "12",
        "",
        "  ",
        "</parameter>",
        "a\n</parameter>\nb",
        "<parameter=lines>",
        "x</function>",
    ],
)
def test_a_text_keeps_its_white_space_and_is_never_parsed_as_json(value: str) -> None:
    ((_, arguments),) = read(body("open", path=value, lines="[]"))
    assert arguments == {"path": value, "lines": []}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "integer"}, "12", 12),
        ({"type": "boolean"}, "True", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "object"}, "{'a': [1, None]}", {"a": [1, None]}),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "12", "12"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "12", 12),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "[1]", "[1]"),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({}, '{"a": 1}', {"a": 1}),
        ({}, "plain", "plain"),
    ],
)
def test_a_value_gets_the_type_of_its_schema(schema: object, text: str, value: object) -> None:
    tool = Tool("t", "", json.dumps({"type": "object", "properties": {"v": schema}}))
    calls, _ = CallReader(DIALECT, (tool,)).read(body("t", v=text))
    assert json.loads(calls[0][1]) == {"v": value}


def test_two_functions_in_one_wrapper_are_two_calls() -> None:
    one, other = body("open", path="a", lines="[]"), body("open", path="b", lines="[1]")
    both = one.removesuffix("</tool_call>") + other.lstrip()
    assert [arguments["path"] for _, arguments in read(both)] == ["a", "b"]


@pytest.mark.parametrize(
    "text",
    [
        *("", "{}", "<parameter=a>\n1\n</parameter>", "open()", "<function=close></function>"),
        *("<function=open>", "<function=open>\n<parameter=path>\n/a", "<function=open>\n</function>"),
    ],
)
def test_only_complete_calls_of_known_tools_are_calls(text: str) -> None:
    with pytest.raises(NotACallError):
        CallReader(DIALECT, (OPEN,)).read(text)
