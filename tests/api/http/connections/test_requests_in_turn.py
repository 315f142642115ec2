"""Requests that arrive together begin one after the other, with a turn of the event loop for others in between."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from pensieve.api.http.connections.requests_in_turn import RequestsInTurn

NUM_REQUESTS = 20


def test_the_event_loop_does_something_else_between_two_requests() -> None:
    begun: list[int] = []
    num_turns = 0

    async def begin(scope: Any, _receive: object, _send: object) -> None:
        begun.append(num_turns)
        await asyncio.sleep(scope["seconds"])

    async def count_turns() -> None:
        nonlocal num_turns
        while True:
            num_turns += 1
            await asyncio.sleep(0)

    async def play() -> None:
        app = RequestsInTurn(cast("Any", begin))
        counting = asyncio.create_task(count_turns())
        scope = cast("Any", {"type": "http", "seconds": 0.01})
        unused = cast("Any", None)
        await asyncio.gather(*(app(scope, unused, unused) for _ in range(NUM_REQUESTS)))
        counting.cancel()

    asyncio.run(play())
    assert len(begun) == len(set(begun)) == NUM_REQUESTS, "each began in a turn of its own, beside those that went on"
