"""Fields of a request that are accepted only where they have no effect, each with a sentence on what to do instead."""

from __future__ import annotations

from typing import Any

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError


def only(harmless: tuple[object, ...], *, instead: str) -> AfterValidator:
    """Accepts null and values without an effect. For any other, the error says what to do instead."""

    def check(value: Any) -> Any:
        if value is not None and value not in harmless:
            raise PydanticCustomError("unsupported", _literal(instead))
        return value

    return AfterValidator(check)


def known(supported: tuple[str, ...], instead: dict[str, str]) -> BeforeValidator:
    """A name of `supported`. The error for another says what to do instead, if `instead` has the name."""

    def check(value: Any) -> Any:
        if value not in supported:
            names = ", ".join(map(repr, supported))
            reason = instead.get(value) if isinstance(value, str) else None
            raise PydanticCustomError("unsupported", _literal(reason or f"must be one of {names}, not {value!r:.60}"))
        return value

    return BeforeValidator(check)


def _literal(text: str) -> Any:
    """Escaped, since pydantic takes a message for a template."""
    return text.replace("{", "{{").replace("}", "}}")
