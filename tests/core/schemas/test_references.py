"""A schema is searched for its identifiers and anchors once, however many references there are to them."""

from __future__ import annotations

from typing import Any

import pytest
from referencing import Resource

from pensieve.core.schemas.plain import plain_schema

NUMBER = 50


@pytest.mark.parametrize(("name", "reference"), [({"$id": "http://a/{}"}, "http://a/{}"), ({"$anchor": "a{}"}, "#a{}")])
def test_references_do_not_search_the_whole_schema_each(
    name: dict[str, str], reference: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[Any] = []
    subresources = Resource.subresources

    def counted(resource: Any) -> Any:
        searched.append(resource)
        return subresources(resource)

    monkeypatch.setattr(Resource, "subresources", counted)
    definitions = {f"d{at}": {key: text.format(at) for key, text in name.items()} for at in range(NUMBER)}
    properties = {f"p{at}": {"$ref": reference.format(at)} for at in range(NUMBER)}
    plain = plain_schema({"$defs": definitions, "properties": properties})
    assert len(plain.definitions) == NUMBER
    assert not plain.gaps
    assert len(searched) <= 1 + 2 * NUMBER
