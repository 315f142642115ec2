"""Ends the preparation of a prompt whose client has left, at the next place that calls `check_wanted`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_is_abandoned: ContextVar[Callable[[], bool]] = ContextVar("is_abandoned", default=lambda: False)


class AbandonedWorkError(Exception):
    """No client waits for the result any more."""


@contextmanager
def ends_when(is_abandoned: Callable[[], bool]) -> Iterator[None]:
    """Let `check_wanted` raise within the block, on this thread, once `is_abandoned` says so."""
    token = _is_abandoned.set(is_abandoned)
    try:
        yield
    finally:
        _is_abandoned.reset(token)


def check_wanted() -> None:
    """
    Raises:
        AbandonedWorkError: the client has left.
    """
    if _is_abandoned.get()():
        raise AbandonedWorkError
