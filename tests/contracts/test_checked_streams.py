"""`checked` around streams: monitors, refusals, closing early, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from pensieve.core.errors import ValidationError
from tests.contracts.counter import GoodCounter, caught_running, listed, wrapped


def test_a_monitor_sees_a_stream_item_by_item() -> None:
    class Falling(GoodCounter):
        async def count_from(self, start: int) -> AsyncGenerator[int, None]:
            for number in (1, 2, 1, start):
                yield number

    seen: list[int] = []

    async def read() -> None:
        async for item in wrapped(Falling()).count_from(0):
            seen.append(item)  # noqa: PERF401 - the items before the violation matter

    assert caught_running(read()).clause.id == "CO-12"
    assert seen == [1, 2]


def test_a_stream_that_ends_too_early_is_caught_at_its_end() -> None:
    class Short(GoodCounter):
        async def count_from(self, start: int) -> AsyncGenerator[int, None]:
            yield start + 1

    assert caught_running(listed(wrapped(Short()).count_from(0))).clause.id == "CO-12"


@pytest.mark.parametrize("items", [(), (4,)], ids=["ends", "continues"])
def test_a_stream_without_a_required_refusal_is_caught(items: tuple[int, ...]) -> None:
    class Lenient(GoodCounter):
        async def count_from(self, start: int) -> AsyncGenerator[int, None]:
            for item in items:
                yield item + start

    assert caught_running(listed(wrapped(Lenient()).count_from(3))).clause.id == "CO-11"


def test_the_refusal_of_a_stream_passes_through() -> None:
    with pytest.raises(ValidationError):
        asyncio.run(listed(wrapped(GoodCounter()).count_from(3)))


def test_a_stream_that_crashes_is_caught() -> None:
    class CrashingCount(GoodCounter):
        async def count_from(self, start: int) -> AsyncGenerator[int, None]:
            yield start + 1
            raise RuntimeError

    assert caught_running(listed(wrapped(CrashingCount()).count_from(0))).clause.id == "CO-13"


def test_a_stream_without_a_clause_on_its_items_is_still_followed() -> None:
    class CrashingTicks(GoodCounter):
        async def ticks(self) -> AsyncGenerator[int, None]:
            yield 1
            raise RuntimeError

    assert asyncio.run(listed(wrapped(GoodCounter()).ticks())) == [1]
    assert caught_running(listed(wrapped(CrashingTicks()).ticks())).clause.id == "CO-14"


def test_a_method_that_returns_a_coroutine_instead_of_a_stream_is_caught() -> None:
    class ReturnsACoroutine(GoodCounter):
        async def count_from(self, start: int) -> Any:  # type: ignore[override]
            return start

    violation = caught_running(listed(wrapped(ReturnsACoroutine()).count_from(0)))
    assert violation.clause.id == "CO-12"
    assert "got coroutine" in str(violation)


def test_a_method_that_returns_a_list_instead_of_a_stream_is_caught() -> None:
    class ReturnsAList(GoodCounter):
        def count_from(self, start: int) -> Any:
            return [start]

    violation = caught_running(listed(wrapped(ReturnsAList()).count_from(0)))
    assert "got list" in str(violation)


def test_closing_early_reaches_the_implementation_without_a_violation() -> None:
    implementation = GoodCounter()

    async def leave() -> None:
        async with aclosing(wrapped(implementation).count_from(0)) as items:
            assert await anext(items) == 1
        assert implementation.is_closed

    asyncio.run(leave())


def test_a_violation_closes_the_stream() -> None:
    class Repeating(GoodCounter):
        async def count_from(self, start: int) -> AsyncGenerator[int, None]:
            try:
                while True:
                    yield start + 1
            finally:
                self.is_closed = True

    implementation = Repeating()
    assert caught_running(listed(wrapped(implementation).count_from(0))).clause.id == "CO-12"
    assert implementation.is_closed


async def _cancel(call: Callable[[], Awaitable[object]]) -> bool:
    async def run() -> None:
        await call()

    task = asyncio.create_task(run())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait({task})
    return task.cancelled()


def test_cancellation_passes_through_a_call_and_a_stream() -> None:
    class Slow(GoodCounter):
        async def look_up(self, name: str) -> int:
            await asyncio.sleep(60)
            return len(name)

        async def count_from(self, start: int) -> AsyncGenerator[int, None]:
            yield start + 1
            await asyncio.sleep(60)

    counter = wrapped(Slow())
    assert asyncio.run(_cancel(lambda: counter.look_up("unknown")))
    assert asyncio.run(_cancel(lambda: listed(counter.count_from(0))))
