"""Prompts are prepared for clients in turn, and for no client that has left."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from contracts.values.vocabulary import ChatMessage, ClientIdentity, Prompt, Role
from pensieve.engine import lanes as lanes_module
from pensieve.engine.lanes import LONG_CHARACTERS, PreparationLanes
from pensieve.models.prompts.encoding.abandoned_work import AbandonedWorkError, check_wanted

SECONDS = 60.0
"""Longer than any of this takes."""


def long_prompt(client: str = "") -> Prompt:
    return Prompt((ChatMessage(Role.USER, "x" * (LONG_CHARACTERS + 1)),), client=ClientIdentity(client))


def on_lanes(play: Callable[[PreparationLanes], Awaitable[None]]) -> None:
    async def run() -> None:
        lanes = PreparationLanes()
        try:
            async with asyncio.timeout(SECONDS):
                await play(lanes)
        finally:
            lanes.close()

    asyncio.run(run())


@contextmanager
def held_by(lanes: PreparationLanes, client: str) -> Iterator[None]:
    """The lane of long prompts is in use until the block ends."""
    release = threading.Event()
    holder = asyncio.create_task(lanes.run(release.wait, long_prompt(client)))
    try:
        yield
    finally:
        release.set()
        holder.add_done_callback(lambda task: task.exception())


def test_a_client_with_fifty_long_prompts_delays_another_by_one() -> None:
    done: list[str] = []

    async def play(lanes: PreparationLanes) -> None:
        with held_by(lanes, "one"):
            await asyncio.sleep(0)
            clients = [*["one"] * 49, "other", "third", "other"]
            waiting = [
                asyncio.create_task(lanes.run(lambda client=client: done.append(client), long_prompt(client)))  # type: ignore[misc]
                for client in clients
            ]
            await asyncio.sleep(0)
        await asyncio.gather(*waiting)

    on_lanes(play)
    assert done[:6] == ["one", "other", "third", "one", "other", "one"]
    assert len(done) == 52


def test_work_of_one_client_is_done_in_order() -> None:
    done: list[int] = []

    async def play(lanes: PreparationLanes) -> None:
        works = [lambda number=number: done.append(number) for number in range(20)]
        await asyncio.gather(*(lanes.run(work, long_prompt()) for work in works))

    on_lanes(play)
    assert done == list(range(20))


def test_work_for_a_client_that_left_before_its_turn_is_never_begun() -> None:
    done: list[str] = []

    async def play(lanes: PreparationLanes) -> None:
        with held_by(lanes, "one"):
            await asyncio.sleep(0)
            leaving, staying = (
                asyncio.create_task(lanes.run(lambda name=name: done.append(name), long_prompt(name)))  # type: ignore[misc]
                for name in ("leaving", "staying")
            )
            await asyncio.sleep(0)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        await staying

    on_lanes(play)
    assert done == ["staying"]


def test_work_for_a_client_that_leaves_ends_at_its_next_step() -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert goes_on.wait(SECONDS)
        try:
            check_wanted()
        except AbandonedWorkError:
            ended.set()
            raise

    async def play(lanes: PreparationLanes) -> None:
        leaving = asyncio.create_task(lanes.run(work, long_prompt()))
        await asyncio.to_thread(begun.wait, SECONDS)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        goes_on.set()
        assert await lanes.run(lambda: "next", long_prompt()) == "next"

    on_lanes(play)
    assert ended.is_set()


def test_work_that_is_wanted_goes_on() -> None:
    async def play(lanes: PreparationLanes) -> None:
        await lanes.run(check_wanted)

    on_lanes(play)
    check_wanted()


def test_a_conversation_of_many_short_turns_is_long() -> None:
    turns = (ChatMessage(Role.USER, "a"), ChatMessage(Role.ASSISTANT, "b"))

    async def play(lanes: PreparationLanes) -> None:
        with held_by(lanes, "one"):
            await asyncio.sleep(0)
            many = asyncio.create_task(lanes.run(lambda: "many", Prompt(turns * 2_000)))
            assert await lanes.run(lambda: "few", Prompt(turns * 20)) == "few"
            assert not many.done()
        assert await many == "many"

    on_lanes(play)


@pytest.mark.parametrize("num_messages", [10, 50_000])
def test_no_more_of_a_prompt_is_measured_than_it_takes(num_messages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It happens on the event loop."""
    measured = 0

    def lengths(prompt: Prompt) -> Iterator[int]:
        nonlocal measured
        for length in original(prompt):
            measured += 1
            yield length

    original = lanes_module.text_lengths
    monkeypatch.setattr(lanes_module, "text_lengths", lengths)
    prompt = Prompt((ChatMessage(Role.USER, "a"),) * num_messages)

    async def play(lanes: PreparationLanes) -> None:
        await lanes.run(lambda: None, prompt)

    on_lanes(play)
    assert measured <= 2_000
