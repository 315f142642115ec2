"""Which dialect a model was taught (W14, W15), read from its tokenizer and template by mlx-lm."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from contracts.vocabulary import Tool
from pensieve.core.dialects.dialect import CallForm, Dialect, ParsedCall, parse_json_call, tool_as_json
from pensieve.core.dialects.qwen_xml import parse_xml_call

_FORMS: Final = {"json_tools": CallForm.GENERAL, "qwen3_coder": CallForm.XML}
"""By the module of mlx-lm's parser."""


def dialect_of(tokenizer: Any) -> Dialect:
    """The dialect of the model that `tokenizer`, mlx-lm's TokenizerWrapper, belongs to; else the general form."""
    thinking = {"think_start": tokenizer.think_start, "think_end": tokenizer.think_end}
    if not tokenizer.has_tool_calling:
        return _with_control_ids(Dialect(**thinking), tokenizer)
    parser = tokenizer.tool_parser
    call_form = _FORMS.get(parser.__module__.rpartition(".")[2], CallForm.OTHER)

    def parse(body: str, tools: Sequence[Tool]) -> list[ParsedCall]:
        if call_form is CallForm.XML:
            with suppress(ValueError):
                return parse_xml_call(body, tools)
        found = parser(body, [tool_as_json(tool) for tool in tools])
        return [_call(call) for call in (found if isinstance(found, list) else [found])]

    dialect = Dialect(
        call_start=tokenizer.tool_call_start,
        call_end=tokenizer.tool_call_end,
        parse_call=parse_json_call if call_form is CallForm.GENERAL else parse,
        call_form=call_form,
        **thinking,
    )
    return _with_control_ids(dialect, tokenizer)


def _with_control_ids(dialect: Dialect, tokenizer: Any) -> Dialect:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    added = backend.get_added_tokens_decoder() if backend is not None else {}
    special = {token.content: token_id for token_id, token in added.items() if token.special}
    return replace(dialect, control_ids={mark: special[mark] for mark in dialect.marks if mark in special})


def _call(found: dict[str, Any]) -> ParsedCall:
    """mlx-lm's parsers give {"name", "arguments"}, the arguments as an object or as its JSON."""
    arguments = found.get("arguments", {})
    return str(found["name"]), arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
