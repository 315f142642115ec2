"""The size of a value written out in full: a list that holds one list twice counts it twice.

Twenty lines of a template can nest a list a hundred levels deep, two references in each. It takes a few hundred bytes,
but to print, compare or hash it would take longer than the universe has existed.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from itertools import chain
from typing import Any, Final, NamedTuple

from jinja2.utils import Namespace

from pensieve.models.templates.budget import CHARACTERS_PER_STEP, Budget, budget

_SCALARS: Final = (int, float, type(None))
_NUMBER_CHARACTERS: Final = 24
_STEPS_PER_PART: Final = 16
_CONTAINERS: Final = (list, tuple, dict, set, frozenset, KeysView, ValuesView, ItemsView)


class Weight(NamedTuple):
    nodes: int
    characters: int
    depth: int


def weigh(value: Any) -> Weight:
    """The value's size, each part of which costs several steps.

    Raises:
        TemplateLimitError: it exceeds the budget.
    """
    if isinstance(value, str):
        budget().step(1 + len(value) // CHARACTERS_PER_STEP)
        return Weight(1, len(value), 0)
    if isinstance(value, _SCALARS):
        return Weight(1, _digits(value), 0)
    return _of_container(value, budget())


def _of_container(value: Any, spent: Budget) -> Weight:
    nodes, characters, depth = 1, 0, 0
    stack: list[Iterator[Any]] = [iter(_parts(value))]
    while stack:
        for part in stack[-1]:
            nodes += 1
            if isinstance(part, str):
                characters += len(part)
                spent.step(_STEPS_PER_PART + len(part) // CHARACTERS_PER_STEP)
                continue
            spent.step(_STEPS_PER_PART)
            if isinstance(part, _SCALARS):
                characters += _digits(part)
            else:
                stack.append(iter(_parts(part)))
                depth = max(depth, len(stack))
                break
        else:
            stack.pop()
    return Weight(nodes, characters + 4 * nodes, depth)


def _digits(number: Any) -> int:
    return _NUMBER_CHARACTERS if not isinstance(number, int) else max(_NUMBER_CHARACTERS, number.bit_length() // 3)


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return chain(value.keys(), value.values())
    if isinstance(value, Namespace):  # its values are the template's own, and it may hold itself
        raise TypeError("a namespace cannot be written as text")
    return value if isinstance(value, _CONTAINERS) else ()
