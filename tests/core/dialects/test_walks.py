"""Any call that a grammar accepts is read back, with arguments that satisfy the schema."""

from __future__ import annotations

import json
import random
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from contracts.values.vocabulary import Tool
from pensieve.core.answers.pieces import ArgumentsPiece, CallEnd, CallStart
from pensieve.core.dialects.writable import why_not_writable
from pensieve.models.tokenizers.dialect_of import known_families
from tests.core.dialects.walks import ground, walk

Schema = dict[str, Any]
TEXT: Final[Schema] = {"type": "string"}
WHOLE: Final[Schema] = {"type": "integer"}
TREE: Final[Schema] = {
    "type": "object",
    "properties": {"name": TEXT, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
    "required": ["name"],
}


def object_of(properties: Schema, *required: str, **more: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(required), **more}


SCHEMAS: Final[dict[str, Schema]] = {
    "scalars": object_of({"t": TEXT, "i": WHOLE, "n": {"type": "number"}, "b": {"type": "boolean"}}, "t", "n"),
    "keys": object_of({"from": TEXT, "file-path": WHOLE, "two words": TEXT, "größe": WHOLE}, "from", "two words"),
    "odd keys": object_of({'a"b': TEXT, "c>d": WHOLE, "e=f": WHOLE, "": TEXT}, 'a"b'),
    "inner keys": object_of({"in": object_of({"name": TEXT, "item": WHOLE, "arguments": TEXT}, "name")}, "in"),
    "choices": object_of({"a": {"enum": ["x", 'it\'s "q"\n', 1, None, True]}, "b": {"const": "</b>"}}, "a", "b"),
    "text or more": object_of({"a": {"anyOf": [TEXT, {"type": "null"}]}, "b": {"type": ["string", "integer"]}}, "a"),
    "unions": object_of({"a": {"oneOf": [WHOLE, {"type": "null"}]}, "b": {"type": ["object", "null"]}}, "a", "b"),
    "joined": object_of({"a": {"allOf": [object_of({"x": TEXT}, "x"), object_of({"y": WHOLE}, "y")]}}, "a"),
    "joined at the top": {"type": "object", "allOf": [object_of({"x": TEXT}, "x")]},
    "lists": object_of({"a": {"type": "array", "items": WHOLE, "minItems": 1, "maxItems": 3}}, "a"),
    "bounded": object_of({"a": {"type": "integer", "minimum": 30, "maximum": 35}}, "a"),
    "alternatives beside properties": object_of(
        {"a": object_of({"x": WHOLE, "y": WHOLE}, anyOf=[{"required": ["x"]}, {"required": ["y"]}])}, "a"
    ),
    "empty list": object_of({"a": {"type": "array", "items": False}}, "a"),
    "tree": object_of({"root": {"$ref": "#/$defs/tree"}}, "root", **{"$defs": {"tree": TREE}}),
    "named only": {"type": "object", "required": ["a"]},
    "free": {"type": "object"},
    "none": object_of({}, additionalProperties=False),
    "inner free": object_of({"a": {"type": "object"}, "b": {}, "c": {"type": "array"}}, "a", "b"),
}
NUM_WALKS: Final = 2


@pytest.mark.parametrize("has_tokens", [False, True], ids=["text", "tokens"])
@pytest.mark.parametrize("name", [family.dialect.name for family in known_families()])
def test_a_call_that_the_grammar_accepts_is_read_back(name: str, *, has_tokens: bool) -> None:
    place = ground(next(each.dialect for each in known_families() if each.dialect.name == name), has_tokens=has_tokens)
    num_finished = 0
    for title, schema in SCHEMAS.items():
        tool = Tool("get-it", "", json.dumps(schema))
        if why_not_writable(json.loads(tool.input_schema), place.dialect):
            continue
        start = place.matcher(tool)
        for number in range(NUM_WALKS):
            token_ids = walk(place, tool, start, random.Random(f"{name} {has_tokens} {title} {number}"))  # noqa: S311
            if token_ids is None:
                continue
            num_finished += 1
            texts = place.texts(token_ids)
            for streams in (True, False):
                pieces = place.read(texts, tool, streams=streams)
                shown = f"{title}: {place.tokenizer.decode(token_ids, skip_special_tokens=False)!r} -> {pieces}"
                assert [type(piece) for piece in pieces] == [CallStart, ArgumentsPiece, CallEnd], shown
                Draft202012Validator(schema).validate(json.loads(pieces[1].json))  # type: ignore[union-attr]
    assert num_finished > len(SCHEMAS)
