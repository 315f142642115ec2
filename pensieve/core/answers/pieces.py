"""What an answer is made of, as the parser finds it."""

from __future__ import annotations

from dataclasses import dataclass

from pensieve.core.dialects.reading import ParsedCall


@dataclass(frozen=True, slots=True)
class SaidText:
    text: str


@dataclass(frozen=True, slots=True)
class SaidThinking:
    text: str


@dataclass(frozen=True, slots=True)
class BeganCall:
    name: str


@dataclass(frozen=True, slots=True)
class SaidArguments:
    json: str


@dataclass(frozen=True, slots=True)
class EndedCall:
    pass


Piece = SaidText | SaidThinking | BeganCall | SaidArguments | EndedCall


def whole_call(call: ParsedCall) -> tuple[Piece, ...]:
    name, arguments = call
    return BeganCall(name), SaidArguments(arguments), EndedCall()
