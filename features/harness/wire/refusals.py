"""The format of the Messages API's errors."""

from __future__ import annotations

from typing import Any

from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import HttpReply


def error_in(reply: HttpReply) -> dict[str, Any]:
    """The error of a reply. Fails unless it has a type and a message."""
    body = reply.json()
    expect_equal(body.get("type"), "error", "the body's type")
    error = body.get("error")
    well_formed = isinstance(error, dict) and all(isinstance(error.get(name), str) for name in ("type", "message"))
    expect_that(well_formed, "error to have a type and a message", body)
    return dict(error) if isinstance(error, dict) else {}


def expect_named(reply: HttpReply, word: str) -> None:
    """Fail unless the error's message contains the word."""
    message = error_in(reply)["message"]
    expect_that(word in message, f"error.message to name {word}", message)
