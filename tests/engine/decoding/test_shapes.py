"""Two hundred constrained calls, each validated: schemas of many shapes, and a model that walks at random.

The shapes are of the kinds in the public schemas of Moonshot AI's vendor verifier for Kimi: odd names of properties,
mixed enumerations, chains and circles of references, unions, bounds of every kind, and maps of any depth; and of those
that pydantic and zod write.
"""

from __future__ import annotations

import json
import random
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator

from contracts.values.vocabulary import Tool
from pensieve.core.answers.pieces import ArgumentsPiece
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.schemas.enforceable import enforceable
from pensieve.engine.decoding.enforced_schemas import problem_of
from tests.core.dialects.walks import ground, walk

Schema = dict[str, Any]
TEXT: Final[Schema] = {"type": "string", "maxLength": 6}
NUMBER: Final[Schema] = {"type": "number"}
WHOLE: Final[Schema] = {"type": "integer"}


def closed(**properties: Any) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


SHAPES: Final[dict[str, Schema]] = {
    "odd names": closed(
        **{"": TEXT, " ": TEXT, "a/b.c": TEXT, "3.5": NUMBER, "鬒😊": TEXT, "\\n\\t": TEXT, "$ref": TEXT}
    ),
    "keywords as names": closed(type=TEXT, enum=WHOLE, items=TEXT, properties=TEXT, required={"type": "boolean"}),
    "mixed enumeration": {"enum": ["", " ", "\n", "\\", "true", True, None, -1, 2.5, [1], {"a": None}]},
    "numbers of an enumeration": {"type": "number", "enum": [-22, 0, 3.3333, 666666666]},
    "types and enumeration": {"type": ["boolean", "null"], "enum": [True]},
    "constant object": {"const": {"a": [1, 2.5, None], "b": {}}},
    "all types": {"type": ["string", "null", "integer", "boolean", "array", "object", "number"]},
    "anything": {},
    "map": {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": WHOLE}},
    "map beside a name": {"type": "object", "properties": {"a": TEXT}, "additionalProperties": NUMBER},
    "union of objects": {"anyOf": [closed(a=TEXT), closed(b=WHOLE)]},
    "union of the same": {"anyOf": [{"type": "null"}, {"type": "null"}]},
    "list of unions": {"type": "array", "items": {"anyOf": [TEXT, WHOLE]}, "maxItems": 3},
    "list of lists": {
        "type": "array",
        "items": {"type": "array", "items": {"enum": [1, 2]}},
        "minItems": 2,
        "maxItems": 2,
    },
    "exact text": {"type": "string", "minLength": 5, "maxLength": 5},
    "long text": {"type": "string", "maxLength": 5_000_000},
    "zero": {"type": "integer", "minimum": 0, "maximum": 0},
    "range of decimals": {"type": "number", "minimum": -10.5111111, "maximum": 20.333333333},
    "large range": {"type": "integer", "maximum": 10_000_000_000_000_000},
    "whole range": {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    "chain of references": {"$ref": "#/$defs/a"},
    "unions of references": {"anyOf": [{"$ref": "#/$defs/b"}, {"$ref": "#/$defs/c"}]},
    "circle": {"$ref": "#/$defs/node"},
    "circle of two": {"type": "object", "properties": {"x": {"$ref": "#/$defs/one"}}},
    "definition inside a definition": {"$ref": "#/$defs/group/items"},
    "discriminated, as pydantic writes it": {
        "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/cat", "dog": "#/$defs/dog"}},
        "oneOf": [{"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}],
    },
    "optional, as pydantic writes it": closed(a={"anyOf": [WHOLE, {"type": "null"}], "default": None, "title": "A"}),
    "record, as zod writes it": {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": WHOLE},
    "record of names": {
        "type": "object",
        "propertyNames": {"type": "string", "enum": ["a", "b"]},
        "additionalProperties": WHOLE,
        "required": ["a"],
    },
    "tuple": {"type": "array", "prefixItems": [TEXT, WHOLE], "items": False, "minItems": 2},
    "joined": {"allOf": [{"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, {"required": ["a"]}]},
    "nothing unevaluated": {"type": "object", "properties": {"a": WHOLE}, "unevaluatedProperties": False},
    "patterns of names": {
        "type": "object",
        "patternProperties": {"^x-[a-z]{1,3}$": WHOLE},
        "additionalProperties": False,
    },
}
DEFINITIONS: Final[Schema] = {
    "a": {"$ref": "#/$defs/b", "description": "The first."},
    "b": {"$ref": "#/$defs/c", "title": "The second."},
    "c": NUMBER,
    "node": {
        "type": "object",
        "properties": {"value": WHOLE, "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]}},
    },
    "one": {"type": "object", "properties": {"y": {"$ref": "#/$defs/two"}}},
    "two": {"type": "object", "properties": {"z": {"$ref": "#/$defs/one"}}},
    "group": {
        "type": "array",
        "items": {"type": "object", "properties": {"data": TEXT}, "additionalProperties": WHOLE},
    },
    "cat": closed(kind={"const": "cat"}, lives={"type": "integer", "minimum": 1, "maximum": 9}),
    "dog": closed(kind={"const": "dog"}, barks={"type": "boolean"}),
}
NUM_WALKS: Final = 7


def test_every_call_of_every_shape_validates() -> None:
    place = ground(Dialect(), has_tokens=True)
    num_finished = 0
    for title, shape in SHAPES.items():
        schema = {**closed(value=shape), "$defs": DEFINITIONS}
        found = enforceable(schema, problem_of)
        assert not found.gaps, title
        tool = Tool("act", "", json.dumps(found.schema))
        start = place.matcher(tool)
        for number in range(NUM_WALKS):
            token_ids = walk(place, tool, start, random.Random(f"{title} {number}"))  # noqa: S311
            if token_ids is None:
                continue
            num_finished += 1
            pieces = place.read(place.texts(token_ids), tool, streams=False)
            (arguments,) = (each.json for each in pieces if isinstance(each, ArgumentsPiece))
            Draft202012Validator(schema).validate(json.loads(arguments))
    assert num_finished > 200


@pytest.mark.parametrize("depth", [1, 40])
def test_a_deep_schema_is_enforced(depth: int) -> None:
    schema = WHOLE
    for _ in range(depth):
        schema = closed(a=schema)
    assert enforceable(schema, problem_of).schema == schema
