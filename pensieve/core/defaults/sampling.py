"""The ranges of the sampling parameters, and what holds where a request leaves one out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from contracts.values.vocabulary import Sampling

API_DEFAULTS: Final = Sampling(temperature=1.0, top_p=1.0, top_k=0, min_p=0.0, repetition_penalty=1.0)
"""Anthropic's and OpenAI's temperature, and nothing else that bears on the draw."""


@dataclass(frozen=True, slots=True)
class AllowedRange:
    """The values of a parameter. `holds` is false for NaN, and for another type: True is no number here."""

    sentence: str
    in_range: Callable[[float], bool]
    kinds: tuple[type, ...] = (int, float)

    def holds(self, value: Any) -> bool:
        return type(value) in self.kinds and self.in_range(value)


_SHARE: Final = AllowedRange("a number from 0.0 to 1.0", lambda value: 0.0 <= value <= 1.0)
ALLOWED: Final[Mapping[str, AllowedRange]] = {
    "temperature": AllowedRange("a number from 0.0 to 2.0", lambda value: 0.0 <= value <= 2.0),
    "top_p": _SHARE,
    "top_k": AllowedRange("a whole number, at least 0", lambda value: value >= 0, (int,)),
    "min_p": _SHARE,
    "repetition_penalty": AllowedRange("a number above 0.0 and at most 10.0", lambda value: 0.0 < value <= 10.0),
}


def with_defaults(sampling: Sampling, defaults: Sampling) -> Sampling:
    """What `sampling` says, and where it says nothing, what `defaults` say."""
    chosen = {
        field.name: getattr(defaults if getattr(sampling, field.name) is None else sampling, field.name)
        for field in fields(Sampling)
    }
    return Sampling(**chosen)


def describe_sampling(sampling: Sampling) -> str:
    """What bears on the draw: `temperature 0.6, top_p 0.95, top_k 20`."""
    held = with_defaults(sampling, API_DEFAULTS)
    if held.is_greedy:
        return "temperature 0: always the likeliest token"
    changed = [
        f"{field.name} {getattr(held, field.name):g}"
        for field in fields(Sampling)
        if field.name == "temperature" or getattr(held, field.name) != getattr(API_DEFAULTS, field.name)
    ]
    return ", ".join(changed)
