"""Arguments in each notation: what is written, the grammar accepts and the reader reads back."""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import Tool, ToolCall, ToolMode
from pensieve.core.dialects.arguments.syntaxes import SYNTAXES
from pensieve.core.dialects.call_reader import CallReader, NotACallError
from pensieve.core.dialects.dialect import CallForm, CallSyntax, Dialect
from pensieve.core.dialects.marks import Marks
from tests.core.dialects.test_grammar import accepts, request_with

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "deep": {"type": "boolean"},
        "mode": {"enum": ["read", "write"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"$ref": "#/$defs/place"},
        "more": {},
    },
    "required": ["text"],
    "$defs": {"place": {"type": "object", "properties": {"row": {"type": "integer"}}, "required": ["row"]}},
}
TOOL = Tool("do", "", json.dumps(SCHEMA))
NONE = Marks()
DIALECTS = {
    "gemma": Dialect(calls=CallSyntax(CallForm.NAMED, "[", "{name}{arguments}]", "[", arguments="gemma")),
    "python": Dialect(calls=CallSyntax(CallForm.NAMED, "[", "{name}({arguments})", ", ", "]", arguments="python")),
    "nested_xml": Dialect(
        calls=CallSyntax(CallForm.NAMED, "[", "{name}>{arguments}<", "", "]", arguments="nested_xml")
    ),
}
ARGUMENTS: list[dict[str, Any]] = [
    {"text": "Paris"},
    {"text": "", "count": -3, "share": 0.5, "deep": True, "mode": "write"},
    {"text": "null", "tags": ["true", "12"], "place": {"row": 4}},
    {"text": "a 'b' \"c\" \\ d", "deep": False, "tags": []},
    {"text": "  two\n\tlines\n", "more": {"any": ["x", 1, None]}},
]


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_written_arguments_are_read_back(name: str, arguments: dict[str, Any]) -> None:
    if name == "nested_xml" and "more" in arguments:
        arguments = {**arguments, "more": {"any": ["x"]}}  # without a schema, 1 and "1" are written alike
    dialect = DIALECTS[name]
    text = dialect.call_text([ToolCall("", "do", json.dumps(arguments))])
    calls, end = CallReader(dialect, (TOOL,)).read(text.removeprefix("["))
    assert end == len(text) - 1
    assert [(called, json.loads(read)) for called, read in calls] == [("do", arguments)]


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("arguments", ARGUMENTS[:4])
def test_the_grammar_accepts_written_arguments(name: str, arguments: dict[str, Any]) -> None:
    ordered = dict(sorted(arguments.items())) if name == "gemma" else arguments
    text = DIALECTS[name].call_text([ToolCall("", "do", json.dumps(ordered))])
    assert accepts(text, request_with(TOOL, ToolMode.ANY), DIALECTS[name]), text
    assert accepts(f"I look. {text}", request_with(TOOL), DIALECTS[name]), text


def test_dictionaries_may_use_either_quotes() -> None:
    for place in ("{'row': 1}", '{"row": 1}'):
        assert accepts(f"[do(text='x', place={place})]", request_with(TOOL, ToolMode.ANY), DIALECTS["python"]), place


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "gemma",
            ["[do{}]", "[do{text:1}]", '[do{deep:maybe,text:<|"|>x<|"|>}]', '[do{count:1.5,text:<|"|>x<|"|>}]'],
        ),
        ("python", ["[do()]", "[do(text=1)]", "[do(text='x', mode='append')]", "[do(count=1)]", "[no(text='x')]"]),
        (
            "nested_xml",
            ["[do><]", "[do>]<]minimax[>[<count>x]<]minimax[>[</count><]", "[do>]<]minimax[>[<text>x<]"],
        ),
    ],
)
def test_the_grammar_rejects_arguments_that_violate_the_schema(name: str, texts: list[str]) -> None:
    for text in texts:
        assert not accepts(text, request_with(TOOL, ToolMode.ANY), DIALECTS[name]), text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("gemma", "{text:"),
        ("gemma", '{text:<|"|>x'),
        ("gemma", "{text:1 count:2}"),
        ("gemma", "{:1}"),
        ("gemma", "[1]"),
        ("python", "text='x'"),
        ("python", "'x')"),
        ("python", "**{'a': 1})"),
        ("python", "text=f())"),
        ("python", "text=)"),
        ("nested_xml", "]<]minimax[>[<text>x"),
        ("nested_xml", "]<]minimax[>[<a>]<]minimax[>[<b>x]<]minimax[>[</b>"),
        ("json", "[1]"),
        ("json", '{"a": '),
    ],
)
def test_incomplete_arguments_are_rejected(name: str, text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each syntax has its own message
        SYNTAXES[name].read(text, 0, {}, NONE)


def test_a_list_and_an_object_nest_in_elements() -> None:
    value = {"a": [{"b": "x"}, {"b": "y"}], "c": {"item": "z"}}
    properties = {"c": {"type": "object", "properties": {"item": {"type": "string"}}}}
    text = SYNTAXES["nested_xml"].write(value, NONE)
    assert SYNTAXES["nested_xml"].read(text, 0, {"properties": properties}, NONE) == (value, len(text))


def test_elements_that_nest_too_deeply_are_rejected() -> None:
    mark = "]<]minimax[>["
    with pytest.raises(ValueError, match="deeply"):
        SYNTAXES["nested_xml"].read(f"{mark}<a>" * 200 + f"{mark}</a>" * 200, 0, {}, NONE)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}", fullmatch=True),
        st.recursive(
            st.text(alphabet=st.characters(exclude_characters="<|]\x00", exclude_categories=["Cs"])) | st.booleans(),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=5,
        ),
        max_size=3,
    )
)
def test_any_values_round_trip_in_notations_with_literals(arguments: dict[str, Any]) -> None:
    arguments = {key: value for key, value in arguments.items() if key not in ("from", "is", "in", "if", "or", "as")}
    for name in ("gemma", "python"):
        text = SYNTAXES[name].write(arguments, NONE) + (")" if name == "python" else "")
        assert SYNTAXES[name].read(text, 0, {}, NONE)[0] == arguments, text


def test_a_call_without_its_required_arguments_is_not_a_call() -> None:
    with pytest.raises(NotACallError, match="required"):
        CallReader(DIALECTS["python"], (TOOL,)).read("do()]")


@pytest.mark.parametrize("name", DIALECTS)
def test_circular_references_that_fan_out_make_a_small_grammar(name: str) -> None:
    node = {"type": "object", "properties": {f"p{number}": {"$ref": "#/$defs/node"} for number in range(4)}}
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/node"}}, "$defs": {"node": node}}
    rules = SYNTAXES[name].rules("arguments", schema, NONE)
    assert sum(1 for _ in itertools.islice(rules, 1000)) < 100


def test_infinities_and_lone_surrogates_become_valid_json() -> None:
    reader = CallReader(Dialect(), (Tool("do", "", '{"type": "object"}'),))
    (call,), _ = reader.read('{"name": "do", "arguments": {"a": -1e999, "b": "\\ud800"}}')
    assert json.loads(call[1]) == {"a": -sys.float_info.max, "b": "\ud800"}
    assert call[1].encode()
    with pytest.raises(NotACallError):
        reader.read('{"name": "do", "arguments": {"a": NaN}}')
