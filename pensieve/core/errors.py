"""Every error that Pensieve raises on purpose (S2), in one tree.

    PensieveError                 kind, field
    ├── ValidationError           a field of the request is missing, wrong or out of range
    │   ├── PromptTooLongError    the prompt leaves no room for an answer in the window (C4: the client compacts)
    │   ├── UnreadableContentError  an image or document is not in a form that the model reads (the client drops it)
    │   └── ConversationThreadError  the request refers to a stored conversation (the client resends it whole)
    ├── AuthenticationError       the key is missing or wrong
    ├── NotFoundError             the model or path does not exist
    ├── ModelLoadingError         a model's files are missing, damaged or of an unknown kind
    ├── DeviceError               the GPU or MLX itself failed
    ├── InsufficientMemoryError   more memory is required than is available
    ├── OverloadedError           the server is full; retry after `retry_after_seconds`
    ├── RateLimitError            the client exceeded its rate; retry after `retry_after_seconds`
    └── GenerationError           the model failed during the answer, or was stopped

`pensieve.api.http.error_reply` maps each to its status, type and headers; no other module knows HTTP.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import ClassVar

from contracts.values.vocabulary import ErrorKind

GIB = 1024**3

RETRY_AFTER_SECONDS = 5
"""When to try again while the server is busy. Claude Code gives up at once above 60."""
RETRY_AFTER_RESTART_SECONDS = 10
"""When to try again while the server stops, as it may be restarting."""

_MAX_LISTED = 8
_MAX_NAME_CHARACTERS = 80


def listed(names: Collection[str]) -> str:
    """Names that a client sent, for a sentence: `a, b, c`, or the first eight of them and `and 992 more`."""
    shown = ", ".join(f"{name:.{_MAX_NAME_CHARACTERS}}" for name in sorted(names)[:_MAX_LISTED])
    return shown if len(names) <= _MAX_LISTED else f"{shown} and {len(names) - _MAX_LISTED} more"


class PensieveError(Exception):
    """`str(error)` is a sentence for the user, `field` the request field at fault if there is one, and `details`
    what a program can act on.
    """

    kind: ClassVar[ErrorKind]

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.details: Mapping[str, object] = {}


class ValidationError(PensieveError):
    """Its message starts with the field's name, as in Anthropic's API."""

    kind = ErrorKind.VALIDATION

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}", field=field)


class PromptTooLongError(ValidationError):
    """Claude Code compacts the conversation when the whole message is this wording (C4), so nothing may be added."""

    def __init__(self, num_tokens: int, max_tokens: int, *, is_raw: bool = False) -> None:
        super().__init__("prompt" if is_raw else "messages", "")
        self.args = (f"prompt is too long: {num_tokens} tokens > {max_tokens} maximum",)


class UnreadableContentError(ValidationError):
    """Claude Code removes the image or document and goes on when the message contains `opening` as it is written here,
    and the message starts with it. `placeholder` may stand in the prompt for the content, where it need not be refused.
    """

    def __init__(self, opening: str, field: str, message: str, *, placeholder: str) -> None:
        super().__init__(field, message)
        self.args = (f"{opening}: {self}",)
        self.placeholder = placeholder


class ConversationThreadError(ValidationError):
    """The official SDK resends the whole conversation when it sees this error code."""

    def __init__(self) -> None:
        super().__init__("thread", "this server does not store conversations: send all messages, without a thread")
        self.details = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}


class AuthenticationError(PensieveError):
    kind = ErrorKind.AUTHENTICATION


class NotFoundError(PensieveError):
    kind = ErrorKind.NOT_FOUND


class ModelLoadingError(PensieveError):
    """`source` is the model as the user named it; the message names the file, what is wrong with it, and the fix."""

    kind = ErrorKind.MODEL_LOADING

    def __init__(self, source: str, message: str) -> None:
        super().__init__(f"cannot load {source}: {message}", field="model")
        self.source = source


class DeviceError(PensieveError):
    kind = ErrorKind.DEVICE


class InsufficientMemoryError(PensieveError):
    kind = ErrorKind.INSUFFICIENT_MEMORY

    def __init__(self, purpose: str, required_bytes: int, available_bytes: int) -> None:
        super().__init__(
            f"insufficient memory for {purpose}: required {required_bytes / GIB:.2f} GiB, "
            f"available {available_bytes / GIB:.2f} GiB"
        )
        self.required_bytes, self.available_bytes = required_bytes, available_bytes


class OverloadedError(PensieveError):
    kind = ErrorKind.OVERLOADED

    def __init__(self, message: str, *, retry_after_seconds: int = RETRY_AFTER_SECONDS) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimitError(PensieveError):
    kind = ErrorKind.RATE_LIMITED

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class GenerationError(PensieveError):
    kind = ErrorKind.GENERATION
