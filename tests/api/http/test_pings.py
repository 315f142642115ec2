import asyncio
import gc
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest

from pensieve.api.http.pings import with_pings


def test_pings_fill_a_silence_and_every_item_comes_through() -> None:
    async def play() -> list[int | None]:
        items: list[int | None] = []
        has_two_pings = asyncio.Event()

        async def source() -> AsyncGenerator[int, None]:
            yield 0
            await has_two_pings.wait()
            yield 1
            yield 2

        async for item in with_pings(source(), 0.03):
            items.append(item)
            if items.count(None) == 2:
                has_two_pings.set()
        return items

    items = asyncio.run(play())
    assert [item for item in items if item is not None] == [0, 1, 2]
    assert items[0] == 0


def test_closing_during_a_silence_closes_the_source() -> None:
    closed = asyncio.Event()

    async def silent() -> AsyncGenerator[int, None]:
        try:
            yield 0
            await asyncio.sleep(60)
        finally:
            closed.set()

    async def play() -> None:
        async with aclosing(with_pings(silent(), 0.01)) as items:
            assert [await anext(items), await anext(items)] == [0, None]
        assert closed.is_set()

    asyncio.run(play())


def test_an_error_of_the_source_reaches_the_reader() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 0
        raise OSError("broken")

    async def play() -> None:
        async with aclosing(with_pings(failing(), 1)) as items:
            await anext(items)
            with pytest.raises(OSError, match="broken"):
                await anext(items)

    asyncio.run(play())


def test_the_first_item_is_awaited_without_pings() -> None:
    async def slow() -> AsyncGenerator[int, None]:
        await asyncio.sleep(0.05)
        yield 0

    async def play() -> list[int | None]:
        return [item async for item in with_pings(slow(), 0.005)]

    assert asyncio.run(play()) == [0]


@pytest.mark.parametrize("fails_when_closed", [False, True])
def test_closing_leaves_no_error_of_the_source_in_the_log(*, fails_when_closed: bool) -> None:
    """Asyncio reports an error that was never retrieved when its task is collected."""
    reports: list[dict[str, object]] = []
    may_fail, has_failed = asyncio.Event(), asyncio.Event()

    async def failing() -> AsyncGenerator[int, None]:
        yield 0
        try:
            await may_fail.wait()
        finally:
            has_failed.set()
            raise OSError("broken")

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        async with aclosing(with_pings(failing(), 0.01)) as items:
            assert await anext(items) == 0
            assert await anext(items) is None
            if not fails_when_closed:
                may_fail.set()
                await has_failed.wait()
        assert has_failed.is_set()
        gc.collect()

    asyncio.run(play())
    assert reports == []


def test_a_stream_takes_one_task_and_one_timer_however_many_items_it_has() -> None:
    class Counting(asyncio.SelectorEventLoop):
        num_timers = num_tasks = 0

        def call_at(self, *arguments: Any, **options: Any) -> asyncio.TimerHandle:  # type: ignore[override]
            self.num_timers += 1
            return super().call_at(*arguments, **options)

        def create_task(self, *arguments: Any, **options: Any) -> asyncio.Task[Any]:
            self.num_tasks += 1
            return super().create_task(*arguments, **options)

    async def source() -> AsyncGenerator[int, None]:
        for number in range(100):
            await asyncio.sleep(0)
            yield number

    async def play() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Counting)
        before = loop.num_tasks, loop.num_timers
        assert [item async for item in with_pings(source(), 60)] == list(range(100))
        return loop.num_tasks - before[0], loop.num_timers - before[1]

    with asyncio.Runner(loop_factory=Counting) as runner:
        assert runner.run(play()) == (1, 1)


def test_items_that_arrive_while_the_reader_is_busy_come_in_order_and_without_pings() -> None:
    has_all = asyncio.Event()

    async def source() -> AsyncGenerator[int, None]:
        for number in range(3):
            yield number
        has_all.set()

    async def play() -> list[int | None]:
        items = []
        async for item in with_pings(source(), 0.001):
            await has_all.wait()
            await asyncio.sleep(0.005)
            items.append(item)
        return items

    assert asyncio.run(play()) == [0, 1, 2]
