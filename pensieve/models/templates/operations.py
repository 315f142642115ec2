"""Operators that cost what they do. `metering` puts them in the place of Jinja's own, under names that no template can
write.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sized
from typing import Any, Final

from pensieve.models.templates.budget import CHARACTERS_PER_STEP, FREE_CHARACTERS, TemplateLimitError, budget
from pensieve.models.templates.weight import weigh

MAX_NUMBER_BITS: Final = 20_000
MAX_WIDTH: Final = 10_000
"""Of a field in a format, in characters."""
LIST_ENTRY_CHARACTERS: Final = 8
_SCALARS: Final = (str, int, float, type(None))
_WIDTH: Final = re.compile(r"\d{5,}|\*")
_REPR_CHARACTERS: Final = 10
"""What `repr` makes of one character at most: `\\U0001F34E`."""


def tick(_: None, num_nodes: int) -> None:
    """One pass of a loop, or one call of a macro, with that many nodes in its body."""
    budget().step(num_nodes)


def add(left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str):
        num_characters = len(left) + len(right)
        if num_characters > FREE_CHARACTERS:
            budget().make(num_characters)
    elif isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        budget().make(LIST_ENTRY_CHARACTERS * (len(left) + len(right)))
    return left + right


def multiply(left: Any, right: Any) -> Any:
    for value, factor in ((left, right), (right, left)):
        if isinstance(value, (str, list, tuple)) and isinstance(factor, int):
            budget().make(max(0, factor) * len(value) * (1 if isinstance(value, str) else LIST_ENTRY_CHARACTERS))
    if isinstance(left, int) and isinstance(right, int):
        require_number(left.bit_length() + right.bit_length())
    return left * right


def power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        require_number(left.bit_length() * max(0, right))
    return left**right


def require_number(num_bits: int) -> None:
    if num_bits > MAX_NUMBER_BITS:
        raise TemplateLimitError(f"computes a number of more than {MAX_NUMBER_BITS:,} bits")


def modulo(left: Any, right: Any) -> Any:
    return formatted(left, right) if isinstance(left, str) else left % right


def formatted(form: str, values: Any) -> Any:
    """`form % values`."""
    if _WIDTH.search(form):
        require_width(MAX_WIDTH + 1)
    widest = max((weigh(value).characters for value in _values(values)), default=0)
    budget().make(len(form) + form.count("%") * (_REPR_CHARACTERS * widest + MAX_WIDTH * bool(re.search(r"\d", form))))
    return form % values


def require_width(width: Any) -> None:
    if isinstance(width, int) and width > MAX_WIDTH:
        raise TemplateLimitError(f"formats a field wider than {MAX_WIDTH:,} characters")


def _values(values: Any) -> tuple[Any, ...]:
    if isinstance(values, tuple):
        return values
    return (values, *values.values()) if isinstance(values, Mapping) else (values,)


def concatenate(*values: Any) -> str:
    """`a ~ b`. Text marked as safe stays plain text, as without HTML escaping."""
    texts = [value if isinstance(value, str) else written(value) for value in values]
    budget().make(sum(map(len, texts)))
    return "".join(texts)


def written(value: Any) -> str:
    """A value as text.

    Raises:
        TemplateLimitError: it is too long.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, (int, float, type(None))):
        budget().make(_REPR_CHARACTERS * weigh(value).characters)
    return str(value)


def compared(left: Any, *rest: Any) -> Any:
    """`a < b <= c` as ("lt", b, "lteq", c) after a."""
    if len(rest) == 2:
        _pay_for_comparison(left, rest[1])
        return _COMPARISONS[rest[0]](left, rest[1])
    result = True
    for name, right in zip(rest[::2], rest[1::2], strict=True):
        _pay_for_comparison(left, right)
        result = _COMPARISONS[name](left, right)
        if not result:
            break
        left = right
    return result


def _pay_for_comparison(left: Any, right: Any) -> None:
    if isinstance(left, _SCALARS):
        if isinstance(right, str) and len(right) > CHARACTERS_PER_STEP:
            budget().step(len(right) // CHARACTERS_PER_STEP)
        elif isinstance(right, (list, tuple)):
            budget().step(len(right))
    elif not isinstance(right, _SCALARS):
        weigh(left)
        weigh(right)


def copied(value: Any) -> Any:
    """A slice, which is a new text or list."""
    if isinstance(value, str):
        budget().make(len(value))
    elif isinstance(value, Sized):
        budget().make(LIST_ENTRY_CHARACTERS * len(value))
    return value


def key(value: Any) -> Any:
    """A key to look up: its hash is computed."""
    if isinstance(value, tuple):
        weigh(value)
    return value


def iterated(value: Any) -> Any:
    """What a loop with a condition reads: its body may never run."""
    if isinstance(value, Sized):
        budget().step(len(value))
    return value


_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lteq": operator.le,
    "gt": operator.gt,
    "gteq": operator.ge,
    "in": lambda left, right: left in right,
    "notin": lambda left, right: left not in right,
}
OPERATIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "a tick": tick,
    "a sum": add,
    "a difference": operator.sub,
    "a product": multiply,
    "a quotient": operator.truediv,
    "a whole quotient": operator.floordiv,
    "a remainder": modulo,
    "a power": power,
    "a concatenation": concatenate,
    "a comparison": compared,
    "a copy": copied,
    "a key": key,
    "an iteration": iterated,
}
