"""Errors on the wire (W18): status, type and headers. The only place that maps Pensieve's errors to HTTP.

Source: Anthropic's documentation, "Errors"; `retry-after` and `x-should-retry` as the official SDKs read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from contracts.values.vocabulary import ErrorKind
from pensieve.core.errors import OverloadedError, PensieveError, RateLimitError

INTERNAL_MESSAGE = "internal error; the server's log has the details under this request id"

_STATUS_AND_TYPE = {
    ErrorKind.VALIDATION: (400, "invalid_request_error"),
    ErrorKind.AUTHENTICATION: (401, "authentication_error"),
    ErrorKind.NOT_FOUND: (404, "not_found_error"),
    ErrorKind.INSUFFICIENT_MEMORY: (400, "invalid_request_error"),  # it can never fit, so a retry is useless
    ErrorKind.OVERLOADED: (529, "overloaded_error"),
    ErrorKind.RATE_LIMITED: (429, "rate_limit_error"),
    ErrorKind.GENERATION: (500, "api_error"),
    ErrorKind.MODEL_LOADING: (500, "api_error"),
    ErrorKind.DEVICE: (500, "api_error"),
}
_TYPE_OF_STATUS = {
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_REQUEST_TIMEOUT = 408  # the body did not arrive; it may the next time
_DO_NOT_RETRY = {"x-should-retry": "false"}


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """An error response. `cause` is the Pensieve error behind it, if there is one."""

    status: int
    type: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)
    details: Mapping[str, object] = field(default_factory=dict)
    cause: PensieveError | None = None

    def body(self, request_id: str) -> dict[str, object]:
        error: dict[str, object] = {"type": self.type, "message": self.message}
        if self.details:
            error["details"] = dict(self.details)
        return {"type": "error", "error": error, "request_id": request_id}


def reply_to_error(error: PensieveError) -> ErrorReply:
    """The reply to a Pensieve error. `x-should-retry` stops SDKs from retrying what would fail again."""
    status, kind = _STATUS_AND_TYPE[error.kind]
    if isinstance(error, OverloadedError | RateLimitError):
        headers = {"retry-after": str(error.retry_after_seconds)}
    else:
        headers = {} if status >= 500 else _DO_NOT_RETRY
    return ErrorReply(status, kind, str(error), headers, error.details, error)


def reply_to_status(status: int, message: str) -> ErrorReply:
    """The reply to an error of HTTP itself, such as an unknown path or a body that is too large."""
    if status >= 500 or status == _REQUEST_TIMEOUT:
        return ErrorReply(status, _TYPE_OF_STATUS.get(status, "api_error"), message)
    return ErrorReply(status, _TYPE_OF_STATUS.get(status, "invalid_request_error"), message, _DO_NOT_RETRY)


def error_body(error: PensieveError) -> dict[str, object]:
    """The data of an `error` event of a stream."""
    reply = reply_to_error(error)
    return {"type": "error", "error": {"type": reply.type, "message": reply.message}}
