"""Schemas are checked in time that grows with their size, and what is too large is refused with the limit."""

import contextlib
import cProfile
import tracemalloc
from collections.abc import Callable, Mapping
from typing import Final

import pytest

from pensieve.api.http.schemas.json_schemas import (
    MAX_CHARACTERS,
    MAX_PARTS,
    MAX_REMEMBERED,
    MAX_TOOLS,
    MAX_VALUES,
    ToolTotals,
    ValidSchemas,
    require_schema,
)
from pensieve.core.errors import ValidationError
from pensieve.core.schemas.meta_schemas import problem_of

DRAFT_4 = "http://json-schema.org/draft-04/schema#"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
DRAFTS: Final = {
    "3": "http://json-schema.org/draft-03/schema#",
    "4": DRAFT_4,
    "6": "http://json-schema.org/draft-06/schema#",
    "7": DRAFT_7,
    "2019-09": "https://json-schema.org/draft/2019-09/schema",
    "2020-12": "https://json-schema.org/draft/2020-12/schema",
}


def objects(number: int) -> list[object]:
    return [{"key": each, "values": [each, str(each)]} for each in range(number)]


MANY: Final[Mapping[str, Callable[[int], dict[str, object]]]] = {
    "an enum": lambda number: {"enum": objects(number)},
    "types": lambda number: {"type": objects(number)},
    "required": lambda number: {"required": objects(number)},
    "properties": lambda number: {"properties": {f"p{each}": {"type": "string"} for each in range(number)}},
    "alternatives": lambda number: {"anyOf": [{"enum": [{"a": each}, {"b": each}]} for each in range(number)]},
}
"""Parts of a schema, some of them wrong, by their size."""


def wrapped(part: dict[str, object]) -> dict[str, object]:
    return {"type": "object", "properties": {"a": {"type": "array", "items": part}}}


def calls_of_check(schema: object) -> int:
    """The function calls that checking it takes."""
    with cProfile.Profile() as profile, contextlib.suppress(ValidationError):
        require_schema(schema, "format")
    return sum(entry.callcount for entry in profile.getstats())


def nested(depth: int) -> dict[str, object]:
    schema: dict[str, object] = {}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (nested(90), "nests too deeply, in more than 64 levels"),
        (nested(3000), "nests too deeply"),
        ({"description": "x" * MAX_CHARACTERS}, f"characters as JSON, more than {MAX_CHARACTERS}"),
        ({"anyOf": [{}] * MAX_PARTS}, f"has 20001 objects and booleans, more than {MAX_PARTS}"),
        ({"anyOf": [True] * MAX_PARTS}, "has 20001 objects and booleans"),
        ({"properties": {"enum": {"anyOf": [{}] * MAX_PARTS}}}, "has 20003 objects and booleans"),
        ({"anyOf": [{"enum": list(range(MAX_VALUES + 1))}]}, f"has an enum of 10001 values, more than {MAX_VALUES}"),
    ],
    ids=[
        "deep",
        "deeper than Python's stack",
        "long",
        "many schemas",
        "many booleans",
        "schemas below a property",
        "many values",
    ],
)
def test_a_schema_that_is_too_large_is_refused_with_the_limit(schema: object, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        require_schema(schema, "tools.0.input_schema")
    assert caught.value.field == "tools.0.input_schema"


def test_the_schemas_of_real_clients_are_within_the_limits() -> None:
    properties = {f"property_{number}": {"type": "string", "description": "x" * 4000} for number in range(50)}
    require_schema({"$schema": DRAFT_7, "type": "object", "properties": properties}, "tools.0.input_schema")
    require_schema(nested(40), "tools.0.input_schema")
    require_schema({"type": "object", "properties": {"a": {"enum": objects(MAX_VALUES)}}}, "tools.0.input_schema")
    ToolTotals().add([{"type": "object", "description": "x" * 4000}] * 300, "tools")


@pytest.mark.parametrize(
    "schemas",
    [[{}] * (MAX_TOOLS + 1), [{"description": "x" * 100_000}] * 21, [{"anyOf": [{}] * 100}] * 400],
    ids=["many", "large", "of many schemas"],
)
def test_too_many_tools_are_refused_by_name(schemas: list[object]) -> None:
    with pytest.raises(ValidationError, match=r"^tools: the .* more than \d+: send fewer"):
        ToolTotals().add(schemas, "tools")


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS)
@pytest.mark.parametrize("name", MANY)
def test_the_work_for_a_schema_grows_in_proportion_to_it(draft: str, name: str) -> None:
    """At the top of a schema as well as inside it, where the meta-schema refers to itself."""
    _, few, some, many = (
        calls_of_check({"$schema": draft, **wrapped(MANY[name](number))})
        for number in (1, 20, 40, 80)  # the first one imports the validator
    )
    assert many - some < 2.2 * (some - few)


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS)
def test_a_check_pauses_at_each_part_of_a_schema(draft: str) -> None:
    pauses: list[None] = []
    assert (
        problem_of(
            {"$schema": draft, "properties": {str(each): {} for each in range(100)}}, lambda: pauses.append(None)
        )
        is None
    )
    assert len(pauses) > 100


@pytest.mark.parametrize("draft", DRAFTS.values(), ids=DRAFTS)
@pytest.mark.parametrize("part", [{"minLength": "x"}, {"properties": 5}, {"enum": {"a": 1}}])
def test_a_mistake_inside_a_schema_is_found_in_every_draft(draft: str, part: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"^format\.properties\.a"):
        require_schema({"$schema": draft, **wrapped(part)}, "format")


@pytest.mark.parametrize("values", [[1, True, "1", [1], {"1": 1}, None], [[True], [1]]])
def test_values_of_an_enum_that_only_look_alike_are_accepted(values: list[object]) -> None:
    require_schema({"$schema": DRAFT_4, "enum": values}, "format")


@pytest.mark.parametrize("values", [[{"a": 1, "b": [1]}, {"b": [1.0], "a": 1}], ["a", "a"]])
def test_equal_values_of_an_enum_are_refused(values: list[object]) -> None:
    with pytest.raises(ValidationError, match=r"^format\.enum: .*has an item twice"):
        require_schema({"$schema": DRAFT_4, "enum": values}, "format")


@pytest.mark.parametrize("value", [5, True, 1.5, None, [], ["x"], {}, {"a": 1}])
def test_a_draft_that_is_not_text_is_refused_by_name(value: object) -> None:
    with pytest.raises(ValidationError, match=r"^f\.\$schema: not a valid JSON schema: .* is not of type 'string'"):
        require_schema({"$schema": value, "type": "object"}, "f")


@pytest.mark.parametrize("name", ["", "x", "http://[bad", "urn:x:%", "http://example.org/draft-99"])
def test_a_schema_of_an_unknown_draft_is_read_as_the_newest(name: str) -> None:
    require_schema({"$schema": name, "type": "object"}, "f")
    with pytest.raises(ValidationError, match=r"^f\.type: "):
        require_schema({"$schema": name, "type": 5}, "f")


@pytest.mark.parametrize("schema", [None, 5, "x", []])
def test_a_schema_that_is_not_an_object_is_refused(schema: object) -> None:
    with pytest.raises(ValidationError, match=r"^f: not a valid JSON schema: .* is not of type 'object'"):
        require_schema(schema, "f")


def test_only_hashes_of_the_latest_valid_schemas_are_remembered() -> None:
    schemas = ValidSchemas()
    for number in range(MAX_REMEMBERED):
        schemas.add(str(number))
    schemas.add("0")
    schemas.add("new")
    assert (len(schemas), "0" in schemas, "1" in schemas, "new" in schemas) == (MAX_REMEMBERED, True, False, True)


def test_long_schemas_do_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(20):
            require_schema({"type": "object", "description": f"{number}" + "x" * 490_000}, "f")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4_000_000  # what the validator's own import leaves
