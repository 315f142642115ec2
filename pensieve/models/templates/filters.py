"""Jinja's filters and tests with a cost: what they read is weighed, and what they make is within the budget."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from jinja2 import Environment
from jinja2.filters import FILTERS
from jinja2.nodes import EvalContext
from jinja2.runtime import Context
from jinja2.tests import TESTS

from pensieve.models.templates.budget import TemplateLimitError, budget
from pensieve.models.templates.methods import joined, listed, paid, require_replaceable
from pensieve.models.templates.operations import formatted, written
from pensieve.models.templates.weight import weigh

_Costs = Callable[..., None]
_FREE: Final = frozenset(("attr", "count", "d", "default", "first", "items", "length", "safe"))
_LAZY: Final = frozenset(("map", "reject", "rejectattr", "select", "selectattr"))
"""They return generators, which apply other filters and tests."""
_READING: Final = frozenset((
    "batch", "groupby", "join", "last", "list", "max", "min", "reverse", "slice", "sort", "sum", "unique",
))  # fmt: skip
"""They read all that a generator yields."""
_SMALL: Final = frozenset((
    "batch", "filesizeformat", "groupby", "pprint", "random", "round", "slice", "striptags", "sum", "title",
    "truncate", "urlize", "wordcount", "wordwrap", "xmlattr",
))  # fmt: skip
"""Their cost grows faster than what they read, and no chat template that we know uses them."""
_MAX_SMALL: Final = 1_000
_STEPS_PER_ITEM: Final = 25
_ESCAPED_CHARACTERS: Final = 6
_JSON_CHARACTERS: Final = 12
_OPAQUE: Final = (Context, Environment, EvalContext)
_COMPARING_TESTS: Final = frozenset((
    "!=", "<", "<=", "==", ">", ">=", "eq", "equalto", "ge", "greaterthan", "gt", "in", "le", "lessthan", "lower", "lt",
    "ne", "upper",
))  # fmt: skip


def metered_filters() -> dict[str, Callable[..., Any]]:
    return {name: metered_filter(name, function) for name, function in FILTERS.items()}


def metered_tests() -> dict[str, Callable[..., Any]]:
    tests: dict[str, Any] = dict(TESTS)
    return {name: _comparing(test) if name in _COMPARING_TESTS else test for name, test in tests.items()}


def _comparing(test: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(test)
    def compare(*arguments: Any) -> Any:
        for argument in arguments:
            weigh(argument)
        return test(*arguments)

    return compare


def metered_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if name in _FREE:
        return function
    check = _CHECKS.get(name) or (_require_small if name in _SMALL else _free if name in _LAZY else _weigh_all)

    @functools.wraps(function)
    def apply(*arguments: Any, **values: Any) -> Any:
        budget().step(1)
        opaque = 1 if arguments and isinstance(arguments[0], _OPAQUE) else 0
        given = [listed(each) if isinstance(each, Iterator) and name in _READING else each for each in arguments]
        check(*given[opaque:], **values)
        if name in _LAZY and len(given) > opaque and isinstance(given[opaque], Iterable) and given[opaque]:
            given[opaque] = _counted(given[opaque])
        return paid(function(*given, **values))

    return apply


def _free(*_: Any, **__: Any) -> None:
    """Its items are counted as they are read."""


def _weigh_all(*arguments: Any, **values: Any) -> None:
    for argument in (*arguments, *values.values()):
        weigh(argument)


def _require_small(*arguments: Any, **values: Any) -> None:
    for argument in (*arguments, *values.values()):
        weight = weigh(argument)
        if max(weight.nodes, weight.characters) > _MAX_SMALL or (
            isinstance(argument, int) and abs(argument) > _MAX_SMALL
        ):
            raise TemplateLimitError(f"gives a filter more than {_MAX_SMALL:,} characters that is for short texts")
    budget().step(_MAX_SMALL)


def _counted(items: Iterable[Any]) -> Iterator[Any]:
    """For a filter that applies another one, or a test, to each of them when it is read."""
    for item in items:
        budget().step(_STEPS_PER_ITEM)
        yield item


def _escape(value: Any) -> None:
    budget().make(_ESCAPED_CHARACTERS * weigh(value).characters)


def _text(value: Any, *arguments: Any, **_: Any) -> None:
    written(value)
    _weigh_all(*arguments)


def _center(value: Any, width: Any = 80) -> None:
    written(value)
    budget().make(width if isinstance(width, int) else 0)


def _indent(value: Any, width: Any = 4, *_: Any, **__: Any) -> None:
    text = written(value)
    num_characters = len(width) if isinstance(width, str) else max(0, width) if isinstance(width, int) else 0
    budget().make(len(text) + (1 + len(text.splitlines())) * num_characters)


def _replace(value: Any, old: Any, new: Any, count: Any = None) -> None:
    require_replaceable(written(value), written(old), written(new), -1 if count is None else count)


def _join(items: Any, separator: Any = "", attribute: Any = None) -> None:
    weigh(separator)
    if attribute is None and not isinstance(items, str):
        joined(written(separator), [written(item) for item in items])
    elif attribute is None:
        budget().make(len(items) * (1 + len(written(separator))))
    else:
        budget().make(weigh(items).characters + len(items) * len(written(separator)))


def _format(form: Any, *arguments: Any, **values: Any) -> None:
    formatted(written(form), values or arguments)


def _to_json(
    value: Any, ensure_ascii: Any = None, indent: Any = None, separators: Any = None, *_: Any, **__: Any
) -> None:
    weight = weigh(value)
    weigh(separators)
    weigh(ensure_ascii)
    width = len(indent) if isinstance(indent, str) else indent if isinstance(indent, int) else 0
    parts = weigh(tuple(separators)).characters if separators else 0
    budget().make(
        _JSON_CHARACTERS * weight.characters + weight.nodes * (weight.depth + 1) * max(0, width) + weight.nodes * parts
    )


_CHECKS: Final[Mapping[str, _Costs]] = {
    **dict.fromkeys(("e", "escape", "forceescape"), _escape),
    **dict.fromkeys(("capitalize", "lower", "string", "trim", "upper"), _text),
    "center": _center,
    "format": _format,
    "indent": _indent,
    "join": _join,
    "replace": _replace,
    "tojson": _to_json,
}
