"""Parses the bytes of a request into a typed body, or into an error that names the field."""

from __future__ import annotations

from typing import TypeVar

import pydantic
from pydantic_core import ErrorDetails

from pensieve.api.http.body_values import require_few_values
from pensieve.core.errors import ValidationError

_BRANCHES = {
    *("string", "blocks", "other", "custom", "anthropic", "text part", "refusal part", "file part"),
    *("server call", "server result", "tool change"),
}
"""Tags of our pydantic unions, which appear in error locations but are not part of the request."""

B = TypeVar("B", bound=pydantic.BaseModel)


def parse_body(model: type[B], body: bytes) -> B:
    """
    Raises:
        ValidationError: invalid JSON, too many values, or a missing or wrong field; the message starts with the path of
            the field.
    """
    require_few_values(body)
    try:
        return model.model_validate_json(body)
    except pydantic.ValidationError as error:
        raise _as_validation_error(error.errors(include_url=False, include_input=False)[0]) from None


def _as_validation_error(detail: ErrorDetails) -> ValidationError:
    """The first error, such as `messages.0.content: Field required`."""
    if detail["type"] == "json_invalid":
        return ValidationError("body", f"the request body is not valid JSON: {detail['ctx']['error']}")
    if not detail["loc"]:
        return ValidationError("body", "the request body must be a JSON object")
    path = ".".join(str(part) for part in detail["loc"] if part not in _BRANCHES)
    return ValidationError(path, detail["msg"])
