import tracemalloc

import pytest

from pensieve.api.http.json_schemas import MAX_REMEMBERED, ValidSchemas, require_schema
from pensieve.core.errors import ValidationError


def test_a_schema_that_nests_too_deeply_is_refused() -> None:
    schema: dict[str, object] = {}
    for _ in range(300):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(ValidationError, match="nests too deeply") as caught:
        require_schema(schema, "tools.0.input_schema")
    assert caught.value.field == "tools.0.input_schema"


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


def test_a_long_schema_does_not_stay_in_memory() -> None:
    tracemalloc.start()
    try:
        require_schema({"type": "object", "description": "x" * 5_000_000}, "f")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 4_000_000  # what the validator's own import leaves
