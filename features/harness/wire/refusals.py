"""The one form that errors have."""

from __future__ import annotations

from typing import Any

from features.harness.wire.expectations import expect_equal, expect_that
from features.harness.wire.replies import Reply


def error_in(reply: Reply) -> dict[str, Any]:
    """The error of a reply, in the one form that errors have."""
    body = reply.json()
    expect_equal(body.get("type"), "error", "the body's type")
    error = body.get("error")
    well_formed = isinstance(error, dict) and all(isinstance(error.get(name), str) for name in ("type", "message"))
    expect_that(well_formed, "error to have a type and a message", body)
    return dict(error) if isinstance(error, dict) else {}


def expect_named(reply: Reply, word: str) -> None:
    """Fail unless the message of the refusal has the word."""
    message = error_in(reply)["message"]
    expect_that(word in message, f"error.message to name {word}", message)
