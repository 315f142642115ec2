"""First come, first served, except for requests that wait for another's prefill."""

from __future__ import annotations

from collections.abc import Collection

from pensieve.core.scheduling.start_order import start_in_order


def started(waiting: Collection[str], *, num_places: int = 9, sharing: str = "", too_large: str = "") -> list[str]:
    found: list[str] = []

    def start(request: str) -> bool:
        if request not in too_large:
            found.append(request)
        return request not in too_large

    start_in_order(
        waiting,
        has_place=lambda: len(found) < num_places,
        waits_for_prefill=lambda request: request in sharing,
        start=start,
    )
    return found


def test_requests_start_in_order_while_there_are_places() -> None:
    assert started("abcd", num_places=2) == ["a", "b"]
    assert started("abcd", num_places=0) == []


def test_one_without_memory_holds_back_all_after_it() -> None:
    assert started("abcd", too_large="b") == ["a"]


def test_one_that_waits_for_a_prefill_is_overtaken() -> None:
    assert started("abcd", sharing="ac") == ["b", "d"]
