"""What the bodies of both wire formats have in common."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

Temperature = Annotated[float, Field(ge=0.0, le=2.0, allow_inf_nan=False)]
Probability = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=-2.0, le=2.0, allow_inf_nan=False)]
MAX_STOP_CHARACTERS = 1024
"""A limit of this server, because the end of an answer is compared with every beginning of a stop sequence."""
StopSequence = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
Kind = Annotated[str, Field(max_length=256)]
"""A type that errors and placeholders repeat."""

MAX_TOKENS_BOUND = 2**31 - 1
"""Whatever the window, a larger max_tokens is a mistake."""

MAX_MESSAGES = 50_000
"""More than any window holds. Anthropic's API has a limit of 100,000."""

MAX_BLOCKS = 10_000
"""Of a message, a tool result or the system prompt: far more than any client sends, and they take 0.1 s to decode."""

MAX_NAMES = 1024
"""Of tools, in a list of names."""

T = TypeVar("T")
Messages = Annotated[list[T], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]
Blocks = Annotated[list[T], Field(max_length=MAX_BLOCKS, fail_fast=True)]
"""The first error ends the decoding of a list: a report of all of them could be a thousand times as long."""
ToolList = Annotated[list[T], Field(fail_fast=True)]
"""`ToolTotals` bounds it."""
Names = Annotated[list[Name], Field(max_length=MAX_NAMES, fail_fast=True)]


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
