"""What a dialect can express of a tool's schema: not every key, and not every keyword where arguments are not JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pensieve.core.dialects.arguments import gemma, nested_xml, python
from pensieve.core.dialects.arguments.root_alternatives import MAX_ALTERNATIVES
from pensieve.core.dialects.arguments.value_rules import MAX_BOUND, NUMBER_KEYWORDS, properties_of, resolved
from pensieve.core.dialects.dialect import CallForm, Dialect
from pensieve.core.dialects.marks import RANGE
from pensieve.core.dialects.patterns import KEY
from pensieve.core.dialects.tagged import is_written_as_text
from pensieve.core.schemas.gap import Gap
from pensieve.core.schemas.subschemas import Path, children

_MARK: Final = re.compile(f"[{RANGE}]")
_BARE_KEYS: Final = {"gemma": re.compile(gemma.KEY), "nested_xml": re.compile(nested_xml.KEY)}
"""The keys that objects in the arguments may have."""
_BARE_NAMES: Final = re.compile(python.KEY)
_TAG_KEYS: Final = re.compile(rf"(?!\s){KEY}(?<!\s)")

_REASON: Final = "this model's call syntax does not enforce it; models that write calls in JSON do"
_OF_TEXT: Final = ("pattern", "format", "minLength", "maxLength")
_OF_ARGUMENTS: Final = frozenset(
    {"$defs", "$ref", "type", "properties", "required", "additionalProperties", "allOf", "anyOf"}
)
"""Keywords of the arguments as a whole that every syntax enforces."""
_OF_VALUES: Final = _OF_ARGUMENTS | frozenset({"enum", "const", "items", "minItems", "maxItems", *NUMBER_KEYWORDS})


def why_not_writable(schema: Any, dialect: Dialect) -> str:
    """Why calls of a tool with this schema cannot be written, or "" if they can."""
    if _MARK.search(json.dumps(schema, ensure_ascii=False)):
        return "it contains characters of the private-use range U+10FF00 to U+10FFFD, which represent tokens"
    names = properties_of(resolved(schema, schema))
    if dialect.calls.form is CallForm.TAGGED:
        return _why_not(iter(names), _TAG_KEYS)
    if dialect.calls.arguments == "python":
        return _why_not(iter(names), _BARE_NAMES)
    if (keys := _BARE_KEYS.get(dialect.calls.arguments)) is not None:
        return _why_not(_all_keys(schema), keys)
    return ""


def _why_not(keys: Iterator[str], form: re.Pattern[str]) -> str:
    unwritable = next((key for key in keys if form.fullmatch(key) is None), None)
    return "" if unwritable is None else f"this model's call syntax cannot express the key {unwritable!r}"


def _all_keys(schema: Any) -> Iterator[str]:
    """The keys of all objects described in a schema, including its definitions."""
    if isinstance(schema, dict):
        yield from properties_of(schema)
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    for part in parts:
        yield from _all_keys(part)


def unenforced(schema: Mapping[str, Any], dialect: Dialect) -> tuple[Gap, ...]:
    """The keywords of a plain schema that calls in this dialect do not enforce."""
    is_tagged = dialect.calls.form is CallForm.TAGGED
    if not is_tagged and dialect.calls.arguments == "json":
        return ()
    gaps = _of_tagged(schema, dialect) if is_tagged else _of_notation(schema, ())
    many = [Gap((), "anyOf", _REASON)] if len(schema.get("anyOf", ())) > MAX_ALTERNATIVES else []
    return (*many, *gaps)


def _of_tagged(schema: Mapping[str, Any], dialect: Dialect) -> Iterator[Gap]:
    whole = resolved(schema, schema)
    yield from (Gap((), keyword, _REASON) for keyword in whole if keyword not in _OF_ARGUMENTS)
    if isinstance(whole.get("additionalProperties"), dict) and not whole.get("properties"):
        yield Gap((), "additionalProperties", _REASON)
    for name, part in properties_of(whole).items():
        wanted = resolved(part, schema)
        if is_written_as_text(wanted, dialect):
            yield from (Gap(("properties", name), key, _REASON) for key in _OF_TEXT if key in wanted)


def _of_notation(schema: Any, path: Path) -> Iterator[Gap]:
    if not isinstance(schema, dict):
        return
    known = _OF_VALUES if path else _OF_ARGUMENTS
    yield from (Gap(path, keyword, _REASON) for keyword in schema if keyword not in known)
    if _merges_the_same(schema):
        yield Gap(path, "allOf", f"two of its schemas have the same keyword; {_REASON}")
    others = schema.get("additionalProperties")
    if isinstance(others, dict) and not schema.get("properties") and not path:
        yield Gap(path, "additionalProperties", _REASON)
    for keyword in ("minItems", "maxItems"):
        if schema.get(keyword, 0) > MAX_BOUND:
            yield Gap(path, keyword, f"this model's call syntax enforces up to {MAX_BOUND}")
    for name, definition in schema.get("$defs", {}).items():
        yield from _of_notation(definition, ("$defs", name))
    for below, part in children(schema):
        yield from _of_notation(part, (*path, *below))


def _merges_the_same(schema: Mapping[str, Any]) -> bool:
    """Whether merging `allOf` would lose something: the last of its schemas wins."""
    seen: set[str] = set()
    parts = [{key: part for key, part in schema.items() if key != "allOf"}, *schema.get("allOf", ())]
    for part in (each for each in parts if "allOf" in schema and isinstance(each, dict)):
        named = {f"properties.{name}" for name in part.get("properties", {})}
        named |= part.keys() - {"properties", "required", "type", "$defs", "$ref", "additionalProperties"}
        if seen & named:
            return True
        seen |= named
    return False
