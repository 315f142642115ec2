"""The error tree: the kind, field and message of each error."""

from __future__ import annotations

import pytest

from contracts.values.vocabulary import ErrorKind
from pensieve.core import errors
from pensieve.core.errors import (
    GIB,
    AuthenticationError,
    ConversationThreadError,
    DeviceError,
    GenerationError,
    InsufficientMemoryError,
    ModelLoadingError,
    NotFoundError,
    OverloadedError,
    PensieveError,
    PromptTooLongError,
    RateLimitError,
    UnreadableContentError,
    ValidationError,
)

EVERY_ERROR = [
    (ValidationError("temperature", "at most 2.0"), ErrorKind.VALIDATION, "temperature"),
    (PromptTooLongError(9000, 8192), ErrorKind.VALIDATION, "messages"),
    (UnreadableContentError("Could not", "source", "no", placeholder="[x]"), ErrorKind.VALIDATION, "source"),
    (ConversationThreadError(), ErrorKind.VALIDATION, "thread"),
    (AuthenticationError("no key was sent"), ErrorKind.AUTHENTICATION, None),
    (NotFoundError("no such model", field="model"), ErrorKind.NOT_FOUND, "model"),
    (ModelLoadingError("a/b", "config.json is missing"), ErrorKind.MODEL_LOADING, "model"),
    (DeviceError("the GPU is gone"), ErrorKind.DEVICE, None),
    (InsufficientMemoryError("weights", 3 * GIB, GIB), ErrorKind.INSUFFICIENT_MEMORY, None),
    (OverloadedError("the queue is full", retry_after_seconds=5), ErrorKind.OVERLOADED, None),
    (RateLimitError("too many requests", retry_after_seconds=9), ErrorKind.RATE_LIMITED, None),
    (GenerationError("the model was stopped"), ErrorKind.GENERATION, None),
]


@pytest.mark.parametrize(("error", "kind", "field"), EVERY_ERROR, ids=lambda value: type(value).__name__)
def test_every_error_has_its_kind_and_names_the_field_at_fault(
    error: PensieveError, kind: ErrorKind, field: str | None
) -> None:
    assert (error.kind, error.field) == (kind, field)
    assert str(error)


def test_every_kind_of_error_has_a_class() -> None:
    assert {kind for _, kind, _ in EVERY_ERROR} == set(ErrorKind)


def test_every_class_of_the_tree_is_covered_by_this_test() -> None:
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, PensieveError)
    }
    assert defined == {type(error).__name__ for error, _, _ in EVERY_ERROR} | {"PensieveError"}
    assert not [name for name in defined if name not in (errors.__doc__ or "")]


def test_a_validation_error_begins_with_its_field() -> None:
    assert str(ValidationError("messages.0.role", "unknown")) == "messages.0.role: unknown"


def test_the_wording_of_a_prompt_that_is_too_long_makes_clients_compact() -> None:
    assert str(PromptTooLongError(9000, 8192)) == "prompt is too long: 9000 tokens > 8192 maximum"


def test_insufficient_memory_gives_both_figures_and_does_not_read_like_a_long_prompt() -> None:
    error = InsufficientMemoryError("kv cache", 3 * GIB, GIB // 2)
    assert str(error) == "insufficient memory for kv cache: required 3.00 GiB, available 0.50 GiB"
    assert (error.required_bytes, error.available_bytes) == (3 * GIB, GIB // 2)
    assert "too long" not in str(error)


def test_a_model_that_cannot_be_loaded_keeps_its_name() -> None:
    error = ModelLoadingError("~/models/mine", "config.json is missing")
    assert error.source == "~/models/mine"
    assert str(error) == "cannot load ~/models/mine: config.json is missing"


def test_an_overload_says_when_to_retry() -> None:
    assert OverloadedError("the queue is full", retry_after_seconds=5).retry_after_seconds == 5
