"""Grammar rules for calls: one alternative per tool, with its arguments by its schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from contracts.values.vocabulary import Tool
from pensieve.core.dialects.arguments.root_alternatives import root_alternatives
from pensieve.core.dialects.arguments.syntaxes import SYNTAXES
from pensieve.core.dialects.arguments.value_rules import resolved
from pensieve.core.dialects.dialect import CallForm, Dialect
from pensieve.core.dialects.marks import is_mark
from pensieve.core.dialects.patterns import filled, parts_of
from pensieve.core.dialects.tagged import parameter_rules
from pensieve.core.dialects.text_rules import quoted

MAX_SPACE: Final = 2
"""The spaces and line ends that a model may write before a text whose pattern has fewer."""


def call_rules(tools: Sequence[Tool], dialect: Dialect, *, parallel: bool) -> dict[str, str]:
    """The rule `calls` matches all calls of an answer with their opening, `more_calls` without it."""
    syntax, rules = dialect.calls, dict[str, str]()
    opening, between, end = (_loose(text, dialect) for text in (syntax.start, syntax.between, syntax.end))
    max_more = syntax.max_calls - 1 if parallel else 0
    more = (f" ({between} call){{0,{max_more}}}" if max_more else "") + (f" {end}" if syntax.end else "")
    rules["calls"] = f"{opening} more_calls" if syntax.start else "more_calls"
    if dialect.call_opening:  # a header names the tool, and its call follows
        headers = (quoted(filled(dialect.call_opening, name=tool.name), dialect.marks) for tool in tools)
        rules["headed"] = " | ".join(f"{header} {opening} call_{at} {end}" for at, header in enumerate(headers))
        between_parts = quoted(dialect.text_end + dialect.joint, dialect.marks)
        rules["calls"] = "headed" + (f" ({between_parts} headed){{0,{max_more}}}" if max_more else "")
    if syntax.also:
        rules["calls"] += "".join(f" | {_call(syntax.also, tool, at, dialect)}" for at, tool in enumerate(tools))
    rules["more_calls"] = f"call{more}"
    rules["call"] = " | ".join(f"call_{number}" for number in range(len(tools)))
    for number, tool in enumerate(tools):
        rules[f"call_{number}"] = _call(syntax.call, tool, number, dialect)
        rules.update(_argument_rules(tool, number, dialect))
    return rules


def _loose(text: str, dialect: Dialect) -> str:
    """Allow leading white space to vary: within a dialect, only some families begin each call on a new line, and
    SentencePiece tokenizers begin a text with a space.
    """
    rest = text.lstrip()
    if not rest or is_mark(text[0]):
        return quoted(text, dialect.marks)
    max_space = max(MAX_SPACE, len(text) - len(rest) + 1)
    return f"/[ \\n]{{0,{max_space}}}/ {quoted(rest, dialect.marks)}"


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
            continue
        is_first_line = not parts and text.startswith("\n")
        parts += [_loose(text, dialect) if is_first_line else quoted(text, dialect.marks)] if text else []
        parts += [rules.get(placeholder, f"arguments_{number}")] if placeholder is not None else []
        text = ""
    return " ".join(parts)


def _argument_rules(tool: Tool, number: int, dialect: Dialect) -> Iterator[tuple[str, str]]:
    schema, name = json.loads(tool.input_schema), f"arguments_{number}"
    if dialect.calls.arguments == "json" and dialect.calls.form is not CallForm.TAGGED:
        yield from SYNTAXES["json"].rules(name, schema, dialect.marks)
        return
    forms = root_alternatives({**schema, **resolved(schema, schema)})  # keeps the definitions
    names = [name] if len(forms) == 1 else [f"{name}_or{at}" for at in range(len(forms))]
    if len(forms) > 1:
        yield name, " | ".join(names)
    for form_name, form in zip(names, forms, strict=True):
        if dialect.calls.form is CallForm.TAGGED:
            yield from parameter_rules(form_name, form, dialect)
        else:
            yield from SYNTAXES[dialect.calls.arguments].rules(form_name, form, dialect.marks)
