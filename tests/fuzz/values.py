"""Random values: what must not break a decoder, and what the types of an SDK allow."""

from __future__ import annotations

import collections.abc
import copy
import random
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, Literal, Required, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from typing_extensions import is_typeddict

MAX_DEPTH: Final = 7
JUNK_SHARE: Final = 0.02
_LISTS: Final = (list, collections.abc.Iterable, collections.abc.Sequence)
TEXTS: Final = (
    "",
    "Hello",
    "call",
    "\n",
    "ünï ✓",
    "<|im_end|>",
    "<tool_call>",
    "\x00",
    "\ud800",
    "\ue000\ue001",
    "\u202e",
    "🏳️‍🌈",
    "{{ x }}",
    "application/pdf",
    "image/png",
    "2024-01-01",
    "JVBERi0xLjQK",
)
NUMBERS: Final = (0, 1, -1, 2, 7, 0.5, -0.0, 1e308, -1e-308, 2**31, 2**63, -(2**63), 10**30, 1024, 200_001)
LARGE: Final[tuple[Any, ...]] = (float("nan"), float("inf"), [], {}, "x" * 5000, "\ue123" * 3000)


def junk(rng: random.Random, depth: int = 0) -> Any:
    """Any JSON value, some of them large or deep."""
    choice = rng.randrange(10 if depth < 3 else 6)
    if choice < 5:
        return copy.copy(rng.choice(rng.choice((TEXTS, TEXTS, NUMBERS, (None, True, False), LARGE))))
    if choice == 5:
        return nested(rng.choice((5, 40, 70)), rng)
    if choice < 8:
        return [junk(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(TEXTS): junk(rng, depth + 1) for _ in range(rng.randrange(4))}


def nested(depth: int, rng: random.Random) -> Any:
    value: Any = rng.choice(TEXTS)
    for _ in range(depth):
        value = {"items": value} if rng.random() < 0.5 else [value]
    return value


def value_of(hint: Any, rng: random.Random, depth: int = 0) -> Any:
    """A value of the type, or junk at a few places."""
    if rng.random() < JUNK_SHARE:
        return junk(rng)
    if is_typeddict(hint) or (isinstance(hint, type) and issubclass(hint, BaseModel)):
        return _record(hint, rng, depth)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is None:
        return _plain(hint, rng)
    if origin is Literal:
        return rng.choice(arguments)
    if origin in (Union, UnionType):
        return value_of(_chosen(arguments, rng, depth), rng, depth)
    return _generic(origin, arguments, rng, depth)


def _generic(origin: Any, arguments: tuple[Any, ...], rng: random.Random, depth: int) -> Any:
    if origin in _LISTS:
        size = rng.choice((0, 1, 1, 2, 3)) if depth < MAX_DEPTH else 0
        return [value_of(arguments[0], rng, depth + 1) for _ in range(size)]
    if origin in (dict, collections.abc.Mapping):
        return {rng.choice(TEXTS): value_of(arguments[1], rng, depth + 1) for _ in range(rng.randrange(3))}
    return value_of(arguments[0], rng, depth)  # Required, NotRequired, Annotated


def _chosen(hints: tuple[Any, ...], rng: random.Random, depth: int) -> Any:
    """One of a union. Deep within a value, one without fields if there is one."""
    plain = [hint for hint in hints if not is_typeddict(hint) and get_origin(hint) is not collections.abc.Iterable]
    return rng.choice(plain if plain and depth >= MAX_DEPTH else hints)


def _record(kind: Any, rng: random.Random, depth: int) -> dict[str, Any]:
    required, hints = _fields(kind)
    optional = rng.choice((0.0, 0.1, 0.4)) if depth < MAX_DEPTH else 0.0
    return {
        name: value_of(hint, rng, depth + 1)
        for name, hint in hints.items()
        if (name in required and rng.random() > JUNK_SHARE) or rng.random() < optional
    }


@cache
def _fields(kind: Any) -> tuple[frozenset[str], dict[str, Any]]:
    """The names of the required fields, and the type hints of all."""
    if not is_typeddict(kind):
        hints = {name: field.annotation for name, field in kind.model_fields.items()}
        return frozenset(name for name, field in kind.model_fields.items() if field.is_required()), hints
    hints = get_type_hints(kind, include_extras=True)
    declared = {name for name, hint in hints.items() if get_origin(hint) is Required}
    return frozenset(declared | kind.__required_keys__), hints


def _plain(hint: Any, rng: random.Random) -> Any:
    if hint in (str, object, Any):
        return rng.choice(TEXTS) if hint is str else junk(rng)
    if hint is bool:
        return rng.random() < 0.5
    if hint in (int, float):
        return rng.choice(NUMBERS) if rng.random() < 0.3 else rng.randrange(1, 5)
    if hint in (None, NoneType):
        return None
    return rng.choice(TEXTS)  # what an SDK would encode: files, dates, paths
