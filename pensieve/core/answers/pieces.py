"""The pieces of an answer, in the order in which the parser emits them."""

from __future__ import annotations

from dataclasses import dataclass

from pensieve.core.dialects.call_reader import ParsedCall


@dataclass(frozen=True, slots=True)
class TextPiece:
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingPiece:
    text: str


@dataclass(frozen=True, slots=True)
class CallStart:
    name: str


@dataclass(frozen=True, slots=True)
class ArgumentsPiece:
    json: str


@dataclass(frozen=True, slots=True)
class CallEnd:
    pass


Piece = TextPiece | ThinkingPiece | CallStart | ArgumentsPiece | CallEnd


def whole_call(call: ParsedCall) -> tuple[Piece, ...]:
    name, arguments = call
    return CallStart(name), ArgumentsPiece(arguments), CallEnd()
