"""Changes at random places of a JSON value, and of bytes."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

from tests.fuzz.values import junk

_INSERTED = (b"\0", b"\xff", b"{", b'"', b"\\u", b"9" * 5000, b"[" * 20_000, b'{"a":' * 20_000)
Place = tuple[Any, Any]
"""A container, and the key or index within it."""


def mutated(value: Any, rng: random.Random) -> Any:
    """A copy with one to three changes."""
    whole = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 2, 3))):
        container, key = rng.choice(list(_places(whole)))
        rng.choice(_CHANGES)(container, key, rng, whole)
    return whole[0] if whole else None


def _places(container: Any) -> Iterator[Place]:
    keys = container.keys() if isinstance(container, dict) else range(len(container))
    for key in list(keys):
        yield container, key
        if isinstance(container[key], dict | list):
            yield from _places(container[key])


def _replace(container: Any, key: Any, rng: random.Random, whole: list[Any]) -> None:
    container[key] = junk(rng)


def _delete(container: Any, key: Any, rng: random.Random, whole: list[Any]) -> None:
    if container is not whole:
        del container[key]


def _swap(container: Any, key: Any, rng: random.Random, whole: list[Any]) -> None:
    """Put a copy of another part here."""
    other, at = rng.choice(list(_places(whole)))
    container[key] = copy.deepcopy(other[at])


def _repeat(container: Any, key: Any, rng: random.Random, whole: list[Any]) -> None:
    value, number = container[key], rng.choice((2, 3, 50))
    if isinstance(value, str):
        container[key] = value * min(number, 1 + 20_000 // (len(value) + 1))
    elif isinstance(value, list) and len(str(value)) < 5000:
        container[key] = [copy.deepcopy(each) for _ in range(number) for each in value]
    else:
        container[key] = [copy.deepcopy(value) for _ in range(2)]


def _add(container: Any, key: Any, rng: random.Random, whole: list[Any]) -> None:
    if isinstance(container[key], dict):
        container[key][rng.choice(("type", "x", "cache_control", "$schema", "$ref", "enum", ""))] = junk(rng)
    else:
        container[key] = {"type": container[key]}


_CHANGES: tuple[Callable[[Any, Any, random.Random, list[Any]], None], ...] = (
    _replace,
    _replace,
    _delete,
    _swap,
    _repeat,
    _add,
)


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    """A copy with a few bytes replaced, inserted, repeated or removed."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.choice((1, 1, 4, 64)))
        match rng.randrange(4):
            case 0:
                changed[start:end] = rng.randbytes(end - start)
            case 1:
                changed[start:start] = rng.choice((*_INSERTED, rng.randbytes(4)))
            case 2:
                changed[start:start] = changed[start:end] * rng.choice((1, 20))
            case _:
                del changed[start : end if rng.random() < 0.9 else None]
    return bytes(changed)
