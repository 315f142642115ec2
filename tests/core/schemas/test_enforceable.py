"""What is enforced of a schema, and what is named, keyword by keyword."""

from __future__ import annotations

from typing import Any

import pytest

from pensieve.core.schemas import enforceable as enforceable_module
from pensieve.core.schemas.enforceable import enforceable
from pensieve.core.schemas.keywords import ENFORCED, FORMATS, NOT_ENFORCED, OTHER_FORMATS, REWRITTEN
from pensieve.engine.decoding.enforced_schemas import problem_of

Schema = dict[str, Any]
TEXT: Schema = {"type": "string"}
INT64: Schema = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}


def places(schema: Any) -> list[str]:
    return [gap.place for gap in enforceable(schema, problem_of).gaps]


@pytest.mark.parametrize(
    "pattern", [r"^(?!\.)[a-z.]+$", r"(?=x)", r"(?<=x)a", r"(a)\1", r"\bfoo\b", r"a$b", r"\cA", r"(?>a)", r"[^]", r"("]
)
def test_a_pattern_that_cannot_be_enforced_is_left_out_alone(pattern: str) -> None:
    part = {"type": "string", "pattern": pattern, "maxLength": 9}
    found = enforceable({"type": "object", "properties": {"a": part, "b": TEXT}, "required": ["a"]}, problem_of)
    assert [gap.place for gap in found.gaps] == ["properties.a.pattern"]
    kept = {"a": {"type": "string", "maxLength": 9}, "b": TEXT}
    assert found.schema == {"type": "object", "properties": kept, "required": ["a"]}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"items": {"not": TEXT}}, ["items.not"]),
        ({"if": TEXT, "then": {"maxLength": 1}, "else": {}}, ["if"]),
        ({"contains": TEXT, "minContains": 2}, ["contains"]),
        ({"type": "array", "uniqueItems": True}, ["uniqueItems"]),
        (
            {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"a": TEXT}},
            ["dependentRequired", "dependentSchemas"],
        ),
        ({"patternProperties": {"^a": TEXT, "b$": INT64}}, ["patternProperties"]),
        ({"properties": {"a": TEXT}, "minProperties": 1, "maxProperties": 2}, ["minProperties", "maxProperties"]),
        ({"type": "number", "maximum": 1e30, "minimum": 0}, ["maximum"]),
        ({"type": "number", "multipleOf": 1e-20}, ["multipleOf"]),
        ({"enum": ["a", -(2**63)]}, ["enum"]),
        ({"enum": [[{"a": -(2**63) + 512}]]}, ["enum"]),
        ({"const": -(2**63)}, ["const"]),
        ({"const": -(2**63) + 513}, []),
        ({"$ref": "https://example.org/schema"}, ["$ref"]),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"pattern": "(?=a)"}}}, ["$defs.a.pattern"]),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, ["oneOf"]),
        ({"$dynamicRef": "#a", "$dynamicAnchor": "a"}, ["$dynamicRef"]),
        ({"properties": {"a": {}}, "propertyNames": {"pattern": "^a"}}, ["propertyNames"]),
        (
            {"anyOf": [{"type": "string", "pattern": "(?=a)"}, {"type": "array", "uniqueItems": True}]},
            ["anyOf.1.uniqueItems", "anyOf.0.pattern"],
        ),
    ],
)
def test_a_keyword_that_cannot_be_enforced_is_named_with_its_path(schema: Schema, expected: list[str]) -> None:
    assert places(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"title": "T", "default": 1, "examples": [1], "nullable": True, "readOnly": True, "x-order": 1, "example": 2},
        {"not": False, "uniqueItems": False, "then": TEXT, "minContains": 1, "dependentRequired": {}},
        {"type": "string", "format": "int32", "contentEncoding": "base64"},
        {"type": "object", "additionalProperties": TEXT, "propertyNames": {"type": "string"}},
        {"type": "number", "minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308},
        {"$defs": {"unused": {"pattern": "(?=a)"}}},
        INT64,
        True,
    ],
)
def test_what_constrains_nothing_is_not_named(schema: Any) -> None:
    assert not places(schema)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"const": 1}, {"const": 2}),
        ({"enum": ["a", "b"]}, {"enum": ["c", None]}),
        (TEXT, {"type": ["null", "object"]}),
        ({"type": "integer", "maximum": 4}, {"type": "number", "minimum": 5}),
        ({"type": "string", "maxLength": 4}, {"type": "string", "minLength": 5}),
        ({"$ref": "#/$defs/cat"}, {"$ref": "#/$defs/dog"}),
        (
            {"type": "object", "properties": {"a": TEXT}, "required": ["a"], "additionalProperties": False},
            {"type": "object", "properties": {"b": TEXT}, "required": ["b"], "additionalProperties": False},
        ),
    ],
)
def test_schemas_that_exclude_each_other_are_exactly_one(one: Schema, other: Schema) -> None:
    kinds = {
        name: {"type": "object", "properties": {"kind": {"const": name}}, "required": ["kind"]}
        for name in ("cat", "dog")
    }
    found = enforceable({"oneOf": [one, other], "$defs": kinds}, problem_of)
    assert not found.gaps
    assert "oneOf" not in found.schema


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (False, ""),
        ({"enum": []}, ""),
        ({"not": {}}, ""),
        ({"$ref": "#"}, ""),
        ({"allOf": [TEXT, {"type": "null"}]}, ""),
        ({"type": "string", "pattern": "^a+$", "format": "email"}, ""),
        ({"type": "object", "properties": {"a": {"enum": []}}, "required": ["a"]}, "properties.a"),
        ({"type": "object", "properties": {}, "required": ["a"], "additionalProperties": False}, ""),
    ],
)
def test_a_schema_that_no_value_satisfies_is_a_contradiction(schema: Any, place: str) -> None:
    found = enforceable(schema, problem_of)
    assert found.contradiction is not None
    assert found.contradiction.place == place


def test_an_endless_alternative_is_left_out() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
    found = enforceable({"anyOf": [TEXT, {"$ref": "#/$defs/node"}], "$defs": {"node": node}}, problem_of)
    assert found.schema["anyOf"] == [TEXT]
    assert not found.gaps


def test_the_search_for_what_cannot_be_enforced_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enforceable_module, "MAX_TRIALS", 40)
    tried = []

    def counted(schema: object) -> str:
        tried.append(schema)
        return problem_of(schema)

    properties = {f"p{number}": {"pattern": f"(?={number})"} for number in range(60)}
    found = enforceable({"type": "object", "properties": properties}, counted)
    assert 40 < len(tried) <= 42, "the whole is looked at before and after"
    assert not problem_of(found.schema)
    assert found.gaps


def test_every_keyword_has_one_fate() -> None:
    assert not ENFORCED.keys() & NOT_ENFORCED.keys()
    assert not ENFORCED.keys() & REWRITTEN.keys()
    assert not set(FORMATS) & set(OTHER_FORMATS)


@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_that_is_listed_compiles(format_: str) -> None:
    assert enforceable({"type": "string", "format": format_}, problem_of).schema["format"] == format_
