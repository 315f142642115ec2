"""Holding off sleep, with a program in place of caffeinate that only a Mac has."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pensieve.cli.serve.awake import hold_off_sleep

HOLDER = (sys.executable, "-c", "import time; time.sleep(600)")


def holders() -> list[int]:
    """The ids of this process's running holders: one may end at any moment, also between two calls."""
    running = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE and HOLDER[-1] in child.cmdline():
                running.append(child.pid)
    return running


async def until(is_reached: Callable[[], object]) -> None:
    async with asyncio.timeout(300):
        while not is_reached():  # noqa: ASYNC110 - processes have no event
            await asyncio.sleep(0.01)


def test_sleep_is_held_off_while_requests_run_and_no_longer() -> None:
    async def serve() -> None:
        busy = True
        task = asyncio.create_task(hold_off_sleep(lambda: busy, HOLDER, 0.01))
        await until(holders)
        (first,) = holders()
        os.kill(first, signal.SIGKILL)
        await until(lambda: set(holders()) - {first})  # another one takes over
        assert len(holders()) == 1
        busy = False
        await until(lambda: not holders())
        busy = True
        await until(holders)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert not holders()

    asyncio.run(serve())


def test_a_machine_without_the_program_serves_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        asyncio.run(hold_off_sleep(lambda: True, (str(tmp_path / "caffeinate"),), 0.01))
    assert "may go to sleep" in caplog.text


@pytest.mark.skipif(sys.platform == "darwin", reason="a Mac has the program")
def test_other_systems_are_left_alone() -> None:
    asyncio.run(hold_off_sleep(lambda: True))
