"""Calls with each argument between tags: text verbatim, everything else as JSON.

    <function=get_weather>
    <parameter=city>
    Paris
    </parameter>
    </function>

Qwen3-Coder, GLM, MiniMax M2, Seed-OSS, DeepSeek V3.2 and others use this form, each with its own tags. A value keeps
its white space, because indentation and a final line end are part of a file; only the white space of the pattern itself
is removed.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from pensieve.core.dialects.arguments.value_rules import choices_of, properties_of, required_of, resolved
from pensieve.core.dialects.dialect import CDATA_END, CDATA_START, Dialect
from pensieve.core.dialects.json_rule import json_rule
from pensieve.core.dialects.patterns import expression, filled, split_at
from pensieve.core.dialects.text_rules import marked, quoted, until

_TEXT: Final = {"type": "string"}
_DEFINITIONS: Final = ("$defs", "definitions")


def read_parameters(text: str, at: int, schema: Any, dialect: Dialect, tail: str) -> tuple[dict[str, Any], int]:
    """The arguments from `at` on, and the offset after the last one. `tail` is the text that closes the call.

    A closing tag ends a value only if another opening tag or the tail follows it, so a value may contain one.
    """
    parameter = _parameter_reader(dialect.calls.parameter, tail)
    properties, arguments = properties_of(resolved(schema, schema)), {}
    while found := parameter.match(text, at):
        key = dialect.marks.plain(found["key"]).strip()
        value = dialect.marks.plain(found["value"])
        if dialect.calls.cdata and value.startswith(CDATA_START) and value.endswith(CDATA_END):
            value = value[len(CDATA_START) : -len(CDATA_END)]
        is_text = _declares_text(found.groupdict().get("type"), dialect)
        arguments[key] = _typed(value, resolved(properties.get(key), schema), is_text=is_text)
        at = found.end()
    return arguments, at


@lru_cache(maxsize=256)
def _parameter_reader(pattern: str, tail: str) -> re.Pattern[str]:
    before, after = split_at(pattern, "value")
    opening, closing = before.removesuffix("\n"), after.removeprefix("\n")
    value = ("\n?" if opening != before else "") + "(?P<value>.*?)" + ("\n?" if closing != after else "")
    next_one = split_at(pattern, "key")[0]
    ends = "|".join(expression(each) for each in (next_one, tail.strip()) if each) or r"\Z"
    return re.compile(
        rf"\s*{expression(opening)}{value}{expression(closing.strip())}(?=\s*(?:{_ungrouped(ends)}|\Z))", re.DOTALL
    )


def _ungrouped(pattern: str) -> str:
    """Remove group names, which may occur only once in an expression."""
    return re.sub(r"\(\?P<\w+>", "(?:", pattern)


def _declares_text(word: str | None, dialect: Dialect) -> bool | None:
    return None if word is None else word == dialect.type_word("string")


def _typed(text: str, schema: Any, *, is_text: bool | None) -> Any:
    """The value of an argument, by the type that the call declares, else by the tool's schema."""
    if is_text or (is_text is None and _is_text(schema)):
        return text
    for choice in choices_of(schema):
        if text == _written(choice):
            return choice
    try:
        value = _literal(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text
    if is_text is None and _allows(schema, "string") and not _fits(value, schema):
        return text
    return value


def _literal(text: str) -> Any:
    """A JSON value or a Python literal, which some of these templates show to the model.

    Raises:
        ValueError, SyntaxError: the text is neither.
    """
    try:
        return json.loads(text)
    except ValueError:
        value = ast.literal_eval(text.strip())
        return value if isinstance(value, bool | list | dict | None) else text


def _is_text(schema: Any) -> bool:
    """Whether a value can only be text, which is written without quotes."""
    if not isinstance(schema, dict):
        return False
    choices = choices_of(schema)
    if choices:
        return all(isinstance(choice, str) for choice in choices)
    return schema.get("type") == "string"


def _written(choice: Any) -> str:
    return choice if isinstance(choice, str) else json.dumps(choice, ensure_ascii=False)


def _kinds(schema: Any) -> set[str]:
    """The types that a schema names in any of its alternatives; empty if it allows everything."""
    if not isinstance(schema, dict):
        return set()
    kinds = schema.get("type")
    found = {kinds} if isinstance(kinds, str) else set(kinds) if isinstance(kinds, list) else set()
    for key in ("anyOf", "oneOf"):
        for alternative in schema.get(key) or ():
            found |= _kinds(alternative)
    return found


def _allows(schema: Any, kind: str) -> bool:
    return kind in _kinds(schema)


def _fits(value: Any, schema: Any) -> bool:
    """Whether a value has a type other than string that the schema names."""
    kinds = _kinds(schema)
    match value:
        case bool():
            return "boolean" in kinds
        case None:
            return "null" in kinds
        case int() | float():
            return bool(kinds & {"integer", "number"})
        case dict():
            return "object" in kinds
        case list():
            return "array" in kinds
        case _:
            return False


def parameter_rules(name: str, schema: Any, dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Rules for all arguments in the schema's order, of which only optional ones may be absent; the first is `name`.

    Patterns and lengths of strings are not enforced, because llguidance's JSON rules need quotes around the text.
    """
    properties, required = properties_of(schema), required_of(schema)
    places = {key: f"{name}_{number}" for number, key in enumerate(properties)}
    free = not properties and schema.get("additionalProperties") is not False
    listed = " ".join(place if key in required else f"{place}?" for key, place in places.items())
    yield name, f"{name}_any*" if free else listed or '""'
    for key, place in places.items():
        wanted = resolved(properties[key], schema)
        if is_written_as_text(wanted, dialect) and not choices_of(wanted):
            wanted = _TEXT  # unquoted text may be any of the types, and is read as the one that fits
        yield place, f'"\\n"? {_opening(key, wanted, dialect)} {place}_value'  # some models write each on its own line
        yield from _value_rules(f"{place}_value", wanted, schema, dialect)
    if free:
        yield f"{name}_any", f"{_any_opening(dialect)} {name}_any_value"
        yield from until(f"{name}_any_value", split_at(dialect.calls.parameter, "value")[1], dialect.marks).items()


def is_written_as_text(wanted: Any, dialect: Dialect) -> bool:
    """Whether the value of an argument stands between its tags without quotes, so that only its end is recognised."""
    return _is_text(wanted) or (not _declares_types(dialect) and _is_text_or_more(wanted))


def _declares_types(dialect: Dialect) -> bool:
    return "{type}" in dialect.calls.parameter


def _is_text_or_more(schema: Any) -> bool:
    """Whether string is one of the types that a value may have."""
    return not choices_of(schema) and _allows(schema, "string")


def _opening(key: str, wanted: Any, dialect: Dialect) -> str:
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    word = dialect.type_word("string" if _is_text(wanted) else kind if isinstance(kind, str) else "other")
    return quoted(filled(split_at(dialect.calls.parameter, "value")[0], key=key, type=word), dialect.marks)


def _any_opening(dialect: Dialect) -> str:
    pattern = filled(split_at(dialect.calls.parameter, "value")[0], key="{key}", type=dialect.type_word("string"))
    before, after = split_at(pattern, "key")
    return f"{quoted(before, dialect.marks)} /[A-Za-z0-9_.-]+/ {quoted(after, dialect.marks)}"


def _value_rules(name: str, wanted: Any, root: Mapping[str, Any], dialect: Dialect) -> Iterator[tuple[str, str]]:
    """Rules for a value and its closing tag."""
    after, marks = split_at(dialect.calls.parameter, "value")[1], dialect.marks
    closing = quoted(after, marks)
    choices = choices_of(wanted)
    if isinstance(wanted, dict) and wanted.get("type") == "boolean" and not choices:
        yield name, f'("true" | "false" | "True" | "False") {closing}'
    elif choices and (_is_text(wanted) or not _declares_types(dialect)):
        yield name, " | ".join(f"{marked(_written(choice), marks)} {closing}" for choice in choices)
    elif not _is_text(wanted):
        definitions = {key: root[key] for key in _DEFINITIONS if key in root}
        inner = {**wanted, **definitions} if isinstance(wanted, dict) else {} if wanted is None else wanted
        yield name, f"{name}_json {closing}"
        yield f"{name}_json", json_rule(inner)
    elif dialect.calls.cdata:
        yield name, f"{json.dumps(CDATA_START)} {name}_cdata | {name}_bare"
        yield from until(f"{name}_cdata", CDATA_END + after, marks).items()
        yield from until(f"{name}_bare", after, marks).items()
    else:
        yield from until(name, after, marks).items()
