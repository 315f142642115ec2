"""Twenty realistic tool schemas, each with a question to answer."""

from __future__ import annotations

from typing import Any, Final

Schema = dict[str, Any]


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _text(max_length: int = 24) -> Schema:
    """A bounded string, because a small model may never close a quote by itself."""
    return {"type": "string", "maxLength": max_length}


def _list(items: Schema, min_items: int = 0, max_items: int = 3) -> Schema:
    return {"type": "array", "items": items, "minItems": min_items, "maxItems": max_items}


_INTEGER: Final[Schema] = {"type": "integer", "minimum": -999, "maximum": 999}
_ADDRESS: Final = _object(
    ["street", "city"], street=_text(), city=_text(), zip={"type": "string", "pattern": "^[0-9]{5}$"}
)

SCHEMAS: Final[tuple[tuple[str, Schema], ...]] = (
    ("What is the weather in Paris?", _object(["city"], city=_text())),
    ("Weather in Rome in celsius", _object(["city", "unit"], city=_text(), unit={"enum": ["celsius", "fahrenheit"]})),
    ("Set the volume to seven", _object(["level"], level={"type": "integer", "minimum": 0, "maximum": 11})),
    ("Set the threshold to a half", _object(["ratio"], ratio={"type": "number", "minimum": 0, "maximum": 1})),
    ("Switch the light on", _object(["on"], on={"type": "boolean"})),
    ("Nothing to say", _object([])),
    ("Buy milk, eggs and bread", _object(["items"], items=_list(_text(), 1))),
    ("Add two and three", _object(["numbers"], numbers=_list(_INTEGER, 2, 4))),
    ("Send a letter to Ada in London", _object(["to", "address"], to=_text(), address=_ADDRESS)),
    (
        "Book a table for two",
        _object(["guests"], guests={"type": "integer", "minimum": 1, "maximum": 8}, note=_text(40)),
    ),
    (
        "Translate hello to Greek",
        _object(["text", "language"], text=_text(), language={"enum": ["ελληνικά", "日本語", "français"]}),
    ),
    ("A colour for the wall", _object(["rgb"], rgb=_list({"type": "integer", "minimum": 0, "maximum": 255}, 3, 3))),
    ("When do we meet?", _object(["at"], at={"type": "string", "format": "date"})),
    ("Rate the film", _object(["stars"], stars={"type": "integer", "enum": [1, 2, 3, 4, 5]}, comment=_text(40))),
    ("Point to the treasure", _object(["where"], where=_object(["x", "y"], x=_INTEGER, y=_INTEGER))),
    ("Plan three steps", _object(["steps"], steps=_list(_object(["do"], do=_text(), minutes=_INTEGER), 1))),
    ("A name, if there is one", _object(["name"], name={"anyOf": [_text(), {"type": "null"}]})),
    (
        "Search for cats, page two",
        _object(["query"], query=_text(), page={"type": "integer", "minimum": 1, "maximum": 99}),
    ),
    (
        "Which shape is it?",
        _object(["shape"], shape={"const": "circle"}, radius={"type": "number", "minimum": 0, "maximum": 9}),
    ),
    (
        "Move the piece",
        _object(["from", "to"], **{"from": {"$ref": "#/$defs/square"}, "to": {"$ref": "#/$defs/square"}})
        | {"$defs": {"square": {"type": "string", "pattern": "^[a-h][1-8]$"}}},
    ),
)
