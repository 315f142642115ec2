"""Errors in OpenAI's format (W6), with the same statuses and headers as in Anthropic's.

Source: OpenAI's API reference, "Error codes". The official SDK reads `error.message`, `type`, `param` and `code`.
Frameworks recognise a conversation that exceeds the window by the code `context_length_exceeded`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pensieve.api.http.error_reply import ErrorReply
from pensieve.core.errors import NotFoundError, PensieveError, PromptTooLongError

_TYPE_AND_CODE: Mapping[str, tuple[str, str | None]] = {
    "invalid_request_error": ("invalid_request_error", None),
    "authentication_error": ("invalid_request_error", "invalid_api_key"),
    "permission_error": ("invalid_request_error", "permission_denied"),
    "not_found_error": ("invalid_request_error", "unknown_url"),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "overloaded_error": ("server_error", "overloaded"),
    "api_error": ("server_error", None),
}
"""OpenAI's type and code by Anthropic's type."""

_FIELDS = (
    ("output_config.format.schema", "response_format.json_schema.schema"),
    (".input_schema", ".function.parameters"),
    (".source.data", ".file.file_data"),
    (".source", ".file"),
)
"""Field names of the Messages API, which the engine uses in its errors, and their counterparts here."""


def openai_body(reply: ErrorReply) -> dict[str, object]:
    kind, code = _TYPE_AND_CODE[reply.type]
    cause = reply.cause
    message, param = reply.message, None
    if cause is not None:
        param = _field(cause)
        message = message.replace(cause.field, param, 1) if cause.field and param else message
        code = _code_of(cause) or code
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _field(cause: PensieveError) -> str | None:
    field = cause.field or ""
    found = next(((theirs, ours) for theirs, ours in _FIELDS if theirs in field), ("", ""))
    return field.replace(*found, 1) if found[0] else cause.field  # what follows may be a name of the client's


def _code_of(cause: PensieveError) -> str | None:
    if isinstance(cause, PromptTooLongError):
        return "context_length_exceeded"
    return "model_not_found" if isinstance(cause, NotFoundError) else None
