import pytest

from pensieve.api.http.json_schemas import require_schema
from pensieve.core.errors import ValidationError


def test_a_schema_that_nests_too_deeply_is_refused() -> None:
    schema: dict[str, object] = {}
    for _ in range(300):
        schema = {"type": "object", "properties": {"a": schema}}
    with pytest.raises(ValidationError, match="nests too deeply") as caught:
        require_schema(schema, "tools.0.input_schema")
    assert caught.value.field == "tools.0.input_schema"
