"""From token ids to the blocks that a client receives, through the engine's decoder and parser."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from contracts.values.vocabulary import Tool
from pensieve.core.answers.parser import AnswerParser
from pensieve.core.answers.pieces import ArgumentsPiece, CallEnd, CallStart, Piece, TextPiece, ThinkingPiece
from pensieve.core.dialects.dialect import Dialect
from pensieve.models.tokenizers.dialect_of import dialect_for
from pensieve.models.tokenizers.text_decoder import TextDecoder
from tests.dialects.real.families import Family
from tests.dialects.real.tokenizers import tokenizer_of

Block = tuple[str, Any]
"""("text", text), ("thinking", text), ("call", (name, arguments)), or ("open call", name) for an unfinished call."""


def blocks_of(
    family: Family, token_ids: Sequence[int], tools: Sequence[Tool], *, opens_thinking: bool, streams_calls: bool
) -> list[Block]:
    """The blocks of an answer that is fed token by token, without the white space around texts.

    `streams_calls` parses it as an answer that a grammar has constrained.
    """
    dialect = _dialect(family)
    parser = AnswerParser(dialect, tools, starts_thinking=opens_thinking, streams_calls=streams_calls)
    decoder = TextDecoder(tokenizer_of(family), dialect.marks.characters)
    pieces = [piece for token_id in token_ids for piece in parser.feed(decoder.step(token_id))]
    return list(_blocks([*pieces, *parser.feed(decoder.finish()), *parser.finish()]))


def blocks_of_whole(
    family: Family, token_ids: Sequence[int], tools: Sequence[Tool], *, opens_thinking: bool
) -> list[Block]:
    """The blocks of an answer whose text is fed at once."""
    dialect = _dialect(family)
    parser = AnswerParser(dialect, tools, starts_thinking=opens_thinking, streams_calls=False)
    decoder = TextDecoder(tokenizer_of(family), dialect.marks.characters)
    text = "".join(map(decoder.step, token_ids)) + decoder.finish()
    return list(_blocks([*parser.feed(text), *parser.finish()]))


@lru_cache(1)
def _dialect(family: Family) -> Dialect:
    added = tokenizer_of(family).get_added_tokens_decoder()
    return dialect_for(family.chat_template, {token.content: token_id for token_id, token in added.items()})


def _blocks(pieces: Sequence[Piece]) -> Iterator[Block]:
    kind, text, name = "", "", ""
    for piece in [*pieces, None]:
        next_kind = {TextPiece: "text", ThinkingPiece: "thinking", ArgumentsPiece: "open call"}.get(type(piece), "")
        if kind != next_kind and not isinstance(piece, CallEnd):
            yield from _block(kind, text, name)
            text = ""
        match piece:
            case TextPiece(part) | ThinkingPiece(part) | ArgumentsPiece(part):
                text += part
            case CallStart(called):
                name = called
            case CallEnd():
                yield "call", (name, json.loads(text))
                next_kind, text = "", ""
        kind = next_kind


def _block(kind: str, text: str, name: str) -> Iterator[Block]:
    if kind == "open call":
        yield kind, name
    elif text.strip():
        yield kind, text.strip()
