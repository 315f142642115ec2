"""A request's bytes as a typed body, or an error that names the field, in the words of the API."""

from __future__ import annotations

from typing import TypeVar

import pydantic
from pydantic_core import ErrorDetails

from pensieve.core.errors import ValidationError

_BRANCHES = {"string", "blocks", "other", "custom", "server"}
"""pydantic's names for the branches of our unions: no part of the request."""

B = TypeVar("B", bound=pydantic.BaseModel)


def parse_body(model: type[B], body: bytes) -> B:
    """The body.

    Raises:
        ValidationError: wrong JSON, or a field that is missing or wrong; the message starts with the field's path.
    """
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise _as_validation_error(error.errors(include_url=False, include_input=False)[0]) from None


def _as_validation_error(detail: ErrorDetails) -> ValidationError:
    """The first thing that is wrong: `messages.0.content: Field required`."""
    if detail["type"] == "json_invalid":
        return ValidationError("body", f"the request body is not valid JSON: {detail['ctx']['error']}")
    if not detail["loc"]:
        return ValidationError("body", "the request body must be a JSON object")
    path = ".".join(str(part) for part in detail["loc"] if part not in _BRANCHES)
    return ValidationError(path, detail["msg"])
