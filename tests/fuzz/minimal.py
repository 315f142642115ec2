"""Makes a failing JSON value smaller while it fails in the same way."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, Final

MAX_TRIES: Final = 300


def minimal(value: Any, fails: Callable[[Any], bool]) -> Any:
    """A part of the value that still fails: nothing can be taken out of it, within `MAX_TRIES` tries."""
    tries = MAX_TRIES
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _smaller(value):
            tries -= 1
            if tries < 0:
                return value
            if fails(smaller):
                value, is_smaller = smaller, True
                break
    return value


def _smaller(value: Any) -> Iterator[Any]:
    """Copies without one part, the largest parts first."""
    places = sorted(_places(value, ()), key=lambda place: -len(str(_at(value, place))))
    for place in places:
        changed = copy.deepcopy(value)
        del _at(changed, place[:-1])[place[-1]]
        yield changed
    for place in places:
        text = _at(value, place)
        if isinstance(text, str) and len(text) > 1:
            changed = copy.deepcopy(value)
            _at(changed, place[:-1])[place[-1]] = text[: len(text) // 2]
            yield changed


def _places(value: Any, at: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*at, key)
        yield from _places(value[key], (*at, key))


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value
