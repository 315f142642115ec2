"""The ranges of the sampling parameters, and their defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

from contracts.values.vocabulary import Sampling

API_DEFAULTS: Final = Sampling(1.0, 1.0, 0, 0.0, repetition_penalty=1.0, presence_penalty=0.0, frequency_penalty=0.0)
"""The temperature that Anthropic's and OpenAI's APIs default to, with every other parameter neutral."""


@dataclass(frozen=True, slots=True)
class AllowedRange:
    """The values that a parameter accepts. NaN and other types are rejected; bool does not count as a number."""

    sentence: str
    in_range: Callable[[float], bool]
    kinds: tuple[type, ...] = (int, float)

    def holds(self, value: Any) -> bool:
        return type(value) in self.kinds and self.in_range(value)


_SHARE: Final = AllowedRange("a number from 0.0 to 1.0", lambda value: 0.0 <= value <= 1.0)
_PENALTY: Final = AllowedRange("a number from -2.0 to 2.0", lambda value: -2.0 <= value <= 2.0)
ALLOWED: Final[Mapping[str, AllowedRange]] = {
    "temperature": AllowedRange("a number from 0.0 to 2.0", lambda value: 0.0 <= value <= 2.0),
    "top_p": _SHARE,
    "top_k": AllowedRange("a whole number, at least 0", lambda value: value >= 0, (int,)),
    "min_p": _SHARE,
    "repetition_penalty": AllowedRange("a number above 0.0 and at most 10.0", lambda value: 0.0 < value <= 10.0),
    "presence_penalty": _PENALTY,
    "frequency_penalty": _PENALTY,
}


def with_defaults(sampling: Sampling, defaults: Sampling) -> Sampling:
    """`sampling`, with each parameter that is None taken from `defaults`."""
    chosen = {
        field.name: getattr(defaults if getattr(sampling, field.name) is None else sampling, field.name)
        for field in fields(Sampling)
    }
    return Sampling(**chosen)


def describe_sampling(sampling: Sampling) -> str:
    """The parameters that affect sampling: `temperature 0.6, top_p 0.95, top_k 20`."""
    effective = with_defaults(sampling, API_DEFAULTS)
    if effective.is_greedy:
        return "temperature 0: always the most likely token"
    changed = [
        f"{field.name} {getattr(effective, field.name):g}"
        for field in fields(Sampling)
        if field.name == "temperature" or getattr(effective, field.name) != getattr(API_DEFAULTS, field.name)
    ]
    return ", ".join(changed)
