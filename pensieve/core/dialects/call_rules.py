"""The rules by which calls are decoded: one alternative for each tool, its arguments by its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from contracts.vocabulary import Tool
from pensieve.core.dialects.arguments.syntaxes import SYNTAXES
from pensieve.core.dialects.dialect import CallForm, Dialect
from pensieve.core.dialects.patterns import filled, parts_of
from pensieve.core.dialects.tagged import parameter_rules
from pensieve.core.dialects.text_rules import quoted


def call_rules(tools: Sequence[Tool], dialect: Dialect, lenient: frozenset[str], *, parallel: bool) -> dict[str, str]:
    """The rule `calls` is all calls of an answer with their opening, `more_calls` the same without it."""
    syntax, rules = dialect.calls, dict[str, str]()
    opening, end = quoted(syntax.start, dialect.marks), quoted(syntax.end, dialect.marks)
    between = _loose(syntax.between, dialect)
    most = syntax.max_calls - 1 if parallel else 0
    rules["calls"] = f"{opening} more_calls" if syntax.start else "more_calls"
    if dialect.call_opening:  # a header names the tool, and what follows is a call of it
        headers = (quoted(filled(dialect.call_opening, name=tool.name), dialect.marks) for tool in tools)
        after = f" {end}" if syntax.end else ""
        rules["calls"] = " | ".join(f"{header} {opening} call_{at}{after}" for at, header in enumerate(headers))
    rules["more_calls"] = (
        "call" + (f" ({between} call){{0,{most}}}" if most else "") + (f" {end}" if syntax.end else "")
    )
    rules["call"] = " | ".join(f"call_{number}" for number in range(len(tools)))
    if syntax.also:
        rules["calls"] += "".join(f" | {_call(syntax.also, tool, at, dialect)}" for at, tool in enumerate(tools))
    for number, tool in enumerate(tools):
        is_lenient = tool.name in lenient
        rules[f"call_{number}"] = _call(syntax.call, tool, number, dialect)
        rules.update(_argument_rules(tool, number, dialect, lenient=is_lenient))
    return rules


def _loose(text: str, dialect: Dialect) -> str:
    """Of one dialect, some families begin each call on a line of its own, and some do not."""
    rest = text.removeprefix("\n")
    return quoted(text, dialect.marks) if rest in (text, "") else f'"\\n"? {quoted(rest, dialect.marks)}'


def _call(pattern: str, tool: Tool, number: int, dialect: Dialect) -> str:
    syntax = dialect.calls
    name = json.dumps(tool.name, ensure_ascii=False)[1:-1] if syntax.form is CallForm.OBJECT else tool.name
    rules = {"id": f"/{syntax.id_pattern}/", "index": "/[0-9]{1,2}/"}
    parts: list[str] = []
    text = ""
    for literal, placeholder in parts_of(pattern):
        text += literal
        if placeholder == "name":
            text += name
        elif placeholder is not None:
            rule = rules.get(placeholder, f"arguments_{number}")
            parts += [*([quoted(text, dialect.marks)] if text else []), rule]
            text = ""
    return " ".join([*parts, *([quoted(text, dialect.marks)] if text else [])])


def _argument_rules(tool: Tool, number: int, dialect: Dialect, *, lenient: bool) -> Iterator[tuple[str, str]]:
    schema, name = json.loads(tool.input_schema), f"arguments_{number}"
    if dialect.calls.form is CallForm.TAGGED:
        return parameter_rules(name, schema, dialect, lenient=lenient)
    return SYNTAXES[dialect.calls.arguments].rules(name, schema, dialect.marks, lenient=lenient)
