"""Which of the waiting requests start now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

Request = TypeVar("Request")


def start_in_order(
    waiting: Iterable[Request],
    *,
    has_place: Callable[[], bool],
    waits_for_prefill: Callable[[Request], bool],
    start: Callable[[Request], bool],
) -> None:
    """First come, first served: one without memory holds back all that came after it. `start` returns False for it.

    A request that waits for another's prefill, to avoid computing the same prefix twice, holds back nothing.
    """
    for request in waiting:
        if not has_place():
            return
        if not waits_for_prefill(request) and not start(request):
            return
