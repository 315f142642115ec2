import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from contracts.values.vocabulary import MessageEvent
from pensieve.api.anthropic.events import collect_message
from pensieve.api.anthropic.handler import with_pings


async def after(*delays: float) -> AsyncGenerator[int, None]:
    for number, delay in enumerate(delays):
        await asyncio.sleep(delay)
        yield number


def test_silence_is_filled_and_nothing_is_lost() -> None:
    async def play() -> list[int | None]:
        return [item async for item in with_pings(after(0, 0.1, 0), 0.03)]

    items = asyncio.run(play())
    assert [item for item in items if item is not None] == [0, 1, 2]
    assert items[0] == 0
    assert items.count(None) >= 2


def test_leaving_during_silence_closes_what_was_waited_for() -> None:
    closed = asyncio.Event()

    async def silent() -> AsyncGenerator[int, None]:
        try:
            await asyncio.sleep(60)
            yield 0
        finally:
            closed.set()

    async def play() -> None:
        async with aclosing(with_pings(silent(), 0.01)) as items:
            assert await anext(items) is None
        assert closed.is_set()

    asyncio.run(play())


def test_a_failure_comes_through() -> None:
    async def failing() -> AsyncGenerator[int, None]:
        yield 0
        raise OSError("broken")

    async def play() -> None:
        async with aclosing(with_pings(failing(), 1)) as items:
            await anext(items)
            with pytest.raises(OSError, match="broken"):
                await anext(items)

    asyncio.run(play())


def test_a_plain_answer_is_the_fold_of_its_stream() -> None:
    usage = {"input_tokens": 3, "output_tokens": 0}
    stream: list[MessageEvent] = [
        {"type": "message_start", "message": {"id": "msg_1", "content": [], "stop_reason": None, "usage": usage}},
        {"type": "ping"},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    ]

    async def replay() -> AsyncGenerator[MessageEvent, None]:
        for event in stream:
            yield event

    assert asyncio.run(collect_message(replay())) == {
        "id": "msg_1",
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 2},
    }
