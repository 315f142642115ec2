"""Random answers that the grammar of a forced call accepts, on a tokenizer of bytes, and their parsing."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from tokenizers import Tokenizer

from contracts.values.vocabulary import Tool, ToolMode
from pensieve.core.answers.parser import AnswerParser
from pensieve.core.answers.pieces import Piece, ThinkingPiece
from pensieve.core.dialects.dialect import Dialect
from pensieve.core.dialects.grammar import answer_grammar
from pensieve.core.dialects.patterns import split_at
from pensieve.models.tokenizers.grammar_tokenizer import grammar_tokenizer
from pensieve.models.tokenizers.text_decoder import TextDecoder
from perf_gates.loads.byte_tokenizer import write_byte_tokenizer
from tests.core.answers.test_parser import merged
from tests.core.dialects.test_grammar import request_with

_EOS: Final = 2
_MARKS: Final = re.compile(r"\]<\]minimax\[>\[|<\|\"\|>|</?[^<>\s{}\"?()]+>|\[/?[A-Z_]{4,}\]")
"""Texts in a dialect that look like tokens."""
_TEXTS: Final = (*" \n\t'\"<>{}[],:=&\\/a0-1.e#(", "é", "null", "</", "]]>", "true", "Infinity")
"""Texts that are likely to be misread."""
_SOON: Final = 150
"""The number of tokens after which a walk prefers tokens that close it."""


@dataclass(frozen=True)
class Ground:
    """A dialect, bound to a tokenizer that may have its marks as tokens."""

    dialect: Dialect
    tokenizer: Tokenizer
    grammar_tokenizer: LLTokenizer

    def ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(self.dialect.marks.plain(text), add_special_tokens=False).ids
        return ids

    def matcher(self, tool: Tool) -> LLMatcher:
        grammar = answer_grammar(request_with(tool, ToolMode.TOOL, tool.name), self.dialect, starts_thinking=False)
        assert grammar is not None
        matcher = LLMatcher(self.grammar_tokenizer, grammar, log_level=0)
        assert not matcher.is_error(), matcher.get_error()
        return matcher

    def texts(self, token_ids: list[int]) -> list[str]:
        """What each token adds to an answer."""
        decoder = TextDecoder(self.tokenizer, self.dialect.marks.characters)
        return [*map(decoder.step, token_ids), decoder.finish()]

    def read(self, texts: Sequence[str], tool: Tool, *, streams: bool) -> list[Piece]:
        """The pieces of an answer without its thinking."""
        parser = AnswerParser(self.dialect, (tool,), streams_calls=streams)
        pieces = [piece for text in texts for piece in parser.feed(text)] + parser.finish()
        return merged([piece for piece in pieces if not isinstance(piece, ThinkingPiece)])


def ground(dialect: Dialect, *, has_tokens: bool) -> Ground:
    marks = sorted({mark for text in dialect.texts for mark in _MARKS.findall(text)}) if has_tokens else []
    content = json.loads(_byte_tokenizer())
    first_id = max(content["model"]["vocab"].values()) + 1
    content["added_tokens"] += [
        {**content["added_tokens"][0], "id": first_id + number, "content": mark} for number, mark in enumerate(marks)
    ]
    tokenizer = Tokenizer.from_str(json.dumps(content))
    bound = dialect.bound({mark: first_id + number for number, mark in enumerate(marks)})
    seen = grammar_tokenizer(tokenizer.to_str(), bound.marks.characters)
    return Ground(bound, tokenizer, LLTokenizer(seen, n_vocab=tokenizer.get_vocab_size(), eos_token=[_EOS]))


@cache
def _byte_tokenizer() -> str:
    with TemporaryDirectory() as folder:
        return (write_byte_tokenizer(Path(folder)) / "tokenizer.json").read_text(encoding="utf-8")


def walk(place: Ground, tool: Tool, start: LLMatcher, chance: random.Random) -> list[int] | None:
    """The tokens of a random answer that the grammar of `start` accepts, or None if it did not end."""
    matcher, token_ids = start.deep_copy(), list[int]()
    closing = [place.ids(text) for text in _closing(place.dialect, json.loads(tool.input_schema))]
    texts = [place.ids(text) for text in _TEXTS]
    mask = allocate_token_bitmask(1, place.tokenizer.get_vocab_size())
    while len(token_ids) < 4 * _SOON:
        ends_soon = len(token_ids) > _SOON
        if matcher.is_accepting() and (ends_soon or chance.random() < 0.7):
            return token_ids
        step = _taken(matcher, chance.choice(closing)) if chance.random() < (0.8 if ends_soon else 0.1) else []
        step = step or (_taken(matcher, chance.choice(texts)) if chance.random() < 0.5 else [])
        step = step or _any_token(matcher, mask, chance)
        if not step:
            assert matcher.is_accepting()
            return token_ids
        token_ids += step
    return None


def _taken(matcher: LLMatcher, token_ids: list[int]) -> list[int]:
    """The tokens if the grammar accepts all of them next, else none."""
    if not token_ids or matcher.validate_tokens(token_ids) != len(token_ids):
        return []
    assert matcher.consume_tokens(token_ids)
    return token_ids


def _any_token(matcher: LLMatcher, mask: Any, chance: random.Random) -> list[int]:
    fill_next_token_bitmask(matcher, mask)
    allowed = np.flatnonzero(np.unpackbits(mask.view(np.uint8), bitorder="little")).tolist()
    going_on = [each for each in allowed if each != _EOS]
    if not going_on:
        return []
    token_id = chance.choice(going_on)
    assert matcher.consume_token(token_id)
    return [token_id]


def _closing(dialect: Dialect, schema: Any) -> Iterator[str]:
    """Texts that end a value or the thinking."""
    yield from ('"', "'", "}", "]", ")", '<|"|>', dialect.think_end or "")
    after = split_at(dialect.calls.parameter, "value")[1]
    yield from (after, f"]]>{after}")
    yield from (f"]<]minimax[>[</{key}>" for key in sorted({"item", *_keys(schema)}))


def _keys(schema: Any) -> Iterator[str]:
    parts = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
    for part in parts:
        yield from _keys(part)
