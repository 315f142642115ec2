"""What the bodies of both wire formats have in common."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

Temperature = Annotated[float, Field(ge=0.0, le=2.0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0, allow_inf_nan=False)]
StopSequence = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(min_length=1, max_length=256)]

MAX_TOKENS_BOUND = 2**31 - 1
"""Whatever the window, a larger max_tokens is a mistake."""

MAX_MESSAGES = 100_000
"""The limit of Anthropic's API ("Create a Message", messages)."""


class WireModel(BaseModel):
    """Strict: "5" is not accepted as a number, and neither is true."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, protected_namespaces=())


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
            names = " or ".join(map(repr, supported))
            reason = instead.get(value) if isinstance(value, str) else None
            raise PydanticCustomError("unsupported", _literal(reason or f"must be {names}, not {value!r:.60}"))
        return value

    return BeforeValidator(check)


def _literal(text: str) -> Any:
    """Escaped, since pydantic takes a message for a template."""
    return text.replace("{", "{{").replace("}", "}}")
