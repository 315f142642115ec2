"""The methods of texts, lists and objects that a chat template may call, and what each call costs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any, Final

from jinja2.exceptions import SecurityError
from jinja2.runtime import LoopContext
from markupsafe import Markup

from pensieve.models.templates.budget import CHARACTERS_PER_STEP, FREE_CHARACTERS, budget
from pensieve.models.templates.operations import LIST_ENTRY_CHARACTERS
from pensieve.models.templates.weight import weigh

_Check = Callable[[Any, str, tuple[Any, ...]], tuple[Any, ...]]
_DATE_CHARACTERS: Final = 256
_ESCAPED_CHARACTERS: Final = 6


def arguments_of(method: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """What to call a method with that is written in C, as those of texts, numbers and containers are.

    Raises:
        SecurityError: chat templates have no use for the method.
        TemplateLimitError: the call costs too much.
    """
    owner, name = method.__self__, method.__name__
    check = _CHECKS.get((type(owner), name)) or _CHECKS.get((_base_of(owner), name))
    if check is None:
        raise _refusal(owner, method)
    return check(owner, name, arguments)


def require_callable(method: Any, arguments: tuple[Any, ...]) -> None:
    """As `arguments_of`, for what is written in Python: macros, and methods of Jinja's own objects and of safe text."""
    owner = getattr(method, "__self__", None)
    if isinstance(owner, Markup):
        if method.__name__ not in _TEXT:
            raise _refusal(owner, method)
        _of_text(owner, method.__name__, arguments)
    elif isinstance(owner, LoopContext):
        for argument in arguments:
            weigh(argument)


def paid(result: Any) -> Any:
    """The result of a call or a filter, which may have made a text or a list."""
    if isinstance(result, str):
        if len(result) > FREE_CHARACTERS:
            budget().make(len(result))
    elif isinstance(result, (list, tuple)):
        budget().make(LIST_ENTRY_CHARACTERS * len(result))
    return result


def _base_of(owner: Any) -> type | None:
    return next((kind for kind in (str, list, tuple, dict, int, float, date) if isinstance(owner, kind)), None)


def _refusal(owner: Any, method: Any) -> SecurityError:
    return SecurityError(f"{type(owner).__name__}.{method.__name__} is not for chat templates")


def _of_text(text: str, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(text) > CHARACTERS_PER_STEP:
        budget().step(len(text) // CHARACTERS_PER_STEP)
    if name == "join" and arguments:
        return (joined(text, arguments[0]), *arguments[1:])
    if name == "replace":
        require_replaceable(text, *arguments)
    elif name in _PADDED and arguments and isinstance(arguments[0], int):
        budget().make(_PADDED[name](text, arguments[0]))
    elif isinstance(text, Markup):
        budget().make(_ESCAPED_CHARACTERS * len(text))
    return arguments


def joined(separator: str, items: Iterable[Any]) -> list[Any]:
    """The items to join, whose joint length is within the budget."""
    result = listed(items)
    budget().make(sum(len(item) + len(separator) for item in result if isinstance(item, str)))
    return result


def require_replaceable(text: Any, old: Any = None, new: Any = None, count: Any = -1) -> None:
    """
    Raises:
        TemplateLimitError: the replaced text would be too long.
    """
    if isinstance(text, str) and isinstance(old, str) and isinstance(new, str) and len(new) > len(old):
        times = text.count(old)
        if isinstance(count, int) and count >= 0:
            times = min(times, count)
        budget().make(len(text) + times * len(new))


_PADDED: Final[Mapping[str, Callable[[str, int], int]]] = {
    "center": lambda text, width: max(len(text), width),
    "ljust": lambda text, width: max(len(text), width),
    "rjust": lambda text, width: max(len(text), width),
    "zfill": lambda text, width: max(len(text), width),
    "expandtabs": lambda text, width: len(text) + text.count("\t") * max(0, width),
}


def require_date_format(form: Any = "") -> None:
    """C libraries give a field of a date any width that the format names, and Python up to 256 times the format."""
    if isinstance(form, str):
        budget().make(_DATE_CHARACTERS * len(form))


def _of_list(owner: list[Any], name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    budget().step(len(owner) // CHARACTERS_PER_STEP)
    if name in ("count", "index", "remove", "sort"):
        return _compared(owner, name, arguments)
    return (listed(arguments[0]),) if name == "extend" and arguments else arguments


def _of_object(owner: dict[Any, Any], name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    if arguments and isinstance(arguments[0], (tuple, list)):  # a key, or the pairs of an update
        weigh(arguments[0])
    if name in ("copy", "update"):
        budget().step(len(owner))
    return arguments


def _compared(owner: Any, _: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    for value in (owner, *arguments):
        weigh(value)
    return arguments


def _of_date(_: date, __: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    require_date_format(*arguments[:1])
    return arguments


def _free(_: Any, __: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    return arguments


def listed(items: Iterable[Any]) -> list[Any]:
    """A list of the items, which may come from a generator without an end in sight."""
    result = []
    for item in items:
        budget().make(LIST_ENTRY_CHARACTERS)
        result.append(item)
    return result


_TEXT: Final = frozenset((
    "capitalize", "casefold", "center", "count", "endswith", "expandtabs", "find", "index", "isalnum", "isalpha",
    "isascii", "isdecimal", "isdigit", "isidentifier", "islower", "isnumeric", "isprintable", "isspace", "istitle",
    "isupper", "join", "ljust", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind",
    "rindex", "rjust", "rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "striptags",
    "swapcase", "title", "unescape", "upper", "zfill",
))  # fmt: skip
_LIST: Final = ("append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort")
_OBJECT: Final = ("clear", "copy", "get", "items", "keys", "pop", "popitem", "setdefault", "update", "values")
_ALLOWED: Final[tuple[tuple[type, _Check, Iterable[str]], ...]] = (
    (str, _of_text, _TEXT),
    (list, _of_list, _LIST),
    (tuple, _compared, ("count", "index")),
    (dict, _of_object, _OBJECT),
    (int, _free, ("bit_length", "conjugate")),
    (float, _free, ("is_integer", "conjugate")),
    (date, _of_date, ["strftime", "isoformat", "weekday", "isoweekday", "date", "time", "timestamp"]),
)
_CHECKS: Final[Mapping[tuple[type | None, str], _Check]] = {
    (kind, name): check for kind, check, names in _ALLOWED for name in names
}
