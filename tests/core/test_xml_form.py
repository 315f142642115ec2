"""Calls in tags: what the grammar lets through is what the parser reads, and it validates."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.vocabulary import ChatMessage, GenerationRequest, Role, Tool, ToolChoice, ToolMode
from pensieve.core.dialects.dialect import CallForm, Dialect
from pensieve.core.dialects.qwen_xml import parse_xml_call
from tests.core.test_answer_grammar import lets_through

DIALECT = Dialect(parse_call=parse_xml_call, call_form=CallForm.XML)
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
    told = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters.items())
    return f"\n<function={name}>\n{told}</function>\n"


def call(name: str, **parameters: str) -> str:
    return f"<tool_call>{body(name, **parameters)}</tool_call>"


def asking(mode: ToolMode = ToolMode.AUTO) -> GenerationRequest:
    tools = (OPEN, ANYTHING, NOTHING)
    return GenerationRequest((ChatMessage(Role.USER, "x"),), 9, tools=tools, tool_choice=ToolChoice(mode))


@pytest.mark.parametrize("mode", [ToolMode.AUTO, ToolMode.ANY])
def test_a_call_is_let_through_if_it_keeps_to_its_schema(mode: ToolMode) -> None:
    for answer in [
        call("open", path="/a <b>", lines="[1, 2]"),
        call("open", path="", mode="größe", lines="[]", größe="true", **{"from": "null"}),
        call("any", whatever="it is\n</a> fine"),
        call("none"),
    ]:
        assert lets_through(answer, asking(mode), DIALECT), answer
    for answer in [
        call("open", path="/a"),
        call("open", lines="[1]"),
        call("open", path="/a", lines="one"),
        call("open", path="/a", mode="append", lines="[]"),
        call("open", path="/a", lines="[]", other="1"),
        call("close"),
        call("none", a="b"),
    ]:
        assert not lets_through(answer, asking(mode), DIALECT), answer


@settings(max_examples=100)
@given(
    path=st.text().filter(lambda text: "</parameter>" not in text and not text.startswith("\n")),
    lines=st.lists(st.integers(-99, 99), max_size=3),
    rest=st.fixed_dictionaries({}, optional={"größe": st.booleans(), "from": st.none() | st.integers(0, 9)}),
)
def test_what_was_written_is_what_is_read(path: str, lines: list[int], rest: dict[str, Any]) -> None:
    written = {key: json.dumps(value) for key, value in {"lines": lines, **rest}.items()}
    ((name, arguments),) = parse_xml_call(body("open", path=path, **written), (OPEN,))
    assert (name, json.loads(arguments)) == ("open", {"path": path, "lines": lines, **rest})
    jsonschema.validate(json.loads(arguments), SCHEMA)


@pytest.mark.parametrize("text", ["", "{}", "<function=open>", "<parameter=a>\n1\n</parameter>", "open()"])
def test_what_is_no_call_of_this_form_is_no_call(text: str) -> None:
    with pytest.raises(ValueError, match="function"):
        parse_xml_call(text, (OPEN,))
