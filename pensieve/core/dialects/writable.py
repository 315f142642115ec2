"""Which tools a dialect can express: a notation without quotes around keys cannot write every JSON key."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from pensieve.core.dialects.arguments import gemma, nested_xml, python
from pensieve.core.dialects.arguments.value_rules import properties_of, resolved
from pensieve.core.dialects.dialect import CallForm, Dialect
from pensieve.core.dialects.marks import RANGE
from pensieve.core.dialects.patterns import KEY

_MARK: Final = re.compile(f"[{RANGE}]")
_BARE_KEYS: Final = {"gemma": re.compile(gemma.KEY), "nested_xml": re.compile(nested_xml.KEY)}
"""The keys that objects in the arguments may have."""
_BARE_NAMES: Final = re.compile(python.KEY)
_TAG_KEYS: Final = re.compile(rf"(?!\s){KEY}(?<!\s)")


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
