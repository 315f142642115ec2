"""Errors in OpenAI's envelope (W6): the same statuses and headers, in the words that its clients look for.

Source: OpenAI's API reference, "Error codes"; the official SDK takes `error.message`, `type`, `param` and `code`, and
frameworks on top of it tell a conversation that has grown too long by the code `context_length_exceeded`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pensieve.api.http.error_reply import ErrorReply
from pensieve.core.errors import NotFoundError, OutputTooLongError, PensieveError, PromptTooLongError

_PATHS = ("/v1/chat/", "/v1/completions")

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
"""By the type that the same error has in Anthropic's envelope."""

_FIELDS = (
    ("output_config.format.schema", "response_format.json_schema.schema"),
    (".input_schema", ".function.parameters"),
)
"""The engine names fields as the Messages API does; these are called otherwise here."""


def is_openai_path(path: str) -> bool:
    """Whether only OpenAI's clients ask there. `/v1/models` is everybody's: its errors suit either SDK as they are."""
    return path.startswith(_PATHS)


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
    field = cause.field
    for ours, theirs in _FIELDS:
        field = field.replace(ours, theirs) if field is not None else None
    return field


def _code_of(cause: PensieveError) -> str | None:
    if isinstance(cause, PromptTooLongError | OutputTooLongError):
        return "context_length_exceeded"
    return "model_not_found" if isinstance(cause, NotFoundError) else None
