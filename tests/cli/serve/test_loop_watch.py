"""An event loop that does not answer is noticed from another thread."""

from __future__ import annotations

import asyncio
import logging
import math
import threading

import pytest

from pensieve.cli.serve.loop_watch import LoopWatch
from tests.support.waiting import HUNG_SECONDS


def test_a_blocked_event_loop_is_logged_with_its_stack_and_then_reported(caplog: pytest.LogCaptureFixture) -> None:
    hung = threading.Event()

    def block_the_loop() -> None:
        assert hung.wait(HUNG_SECONDS)

    async def play() -> None:
        watch = LoopWatch(asyncio.get_running_loop(), hung_seconds=0.2, on_hang=hung.set, tick_seconds=0.01)
        watch.start()
        asyncio.get_running_loop().call_soon(block_the_loop)
        await asyncio.sleep(0)
        watch.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(play())
    assert hung.is_set()
    assert "the event loop does not answer" in caplog.text
    assert "block_the_loop" in caplog.text


def test_an_event_loop_that_answers_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    ticks = threading.Semaphore(0)
    hung = threading.Event()

    async def play() -> None:
        loop = asyncio.get_running_loop()
        watch = LoopWatch(loop, hung_seconds=math.inf, on_hang=hung.set, on_tick=ticks.release, tick_seconds=0.001)
        watch.start()
        for _ in range(50):
            assert await asyncio.to_thread(ticks.acquire, timeout=HUNG_SECONDS)
        watch.close()

    asyncio.run(play())
    assert not hung.is_set()


def test_a_loop_that_hangs_is_reported_once() -> None:
    hangs = threading.Semaphore(0)
    loop = asyncio.new_event_loop()  # it never runs
    watch = LoopWatch(loop, hung_seconds=0.01, on_hang=hangs.release, tick_seconds=0.001)
    watch.start()
    assert hangs.acquire(timeout=HUNG_SECONDS)
    assert not hangs.acquire(timeout=0.1)
    watch.close()
    loop.close()
