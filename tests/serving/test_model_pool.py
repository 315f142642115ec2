"""Loading, sharing and unloading models under a memory limit (S1, S7)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from contracts.values.vocabulary import BufferUsage, ChatMessage, GenerationRequest, ModelConfig, Role
from pensieve.core.errors import InsufficientMemoryError, ModelLoadingError, NotFoundError, OverloadedError
from pensieve.serving.lease import ModelLease
from pensieve.serving.model_pool import ModelPool
from pensieve.serving.timeouts import PoolTimeouts
from tests.serving.heavy_scripts import CAPACITY_BYTES, MB, FakeModels

REQUEST = GenerationRequest((ChatMessage(Role.USER, "Hello"),), max_tokens=64)
QUICK = PoolTimeouts(room_seconds=0.3)

Play = Callable[[ModelPool, FakeModels], Awaitable[None]]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def pool_of(fakes: FakeModels, timeouts: PoolTimeouts = QUICK) -> AsyncIterator[ModelPool]:
    pool = ModelPool(fakes.start, fakes.memory, known=fakes.known, timeouts=timeouts)
    try:
        yield pool
    finally:
        await pool.aclose()
        assert fakes.memory.reserved_bytes() == 0


def play_with(play: Play, fakes: FakeModels, timeouts: PoolTimeouts = QUICK) -> None:
    async def run() -> None:
        async with asyncio.timeout(300), pool_of(fakes, timeouts) as pool:
            await play(pool, fakes)

    asyncio.run(run())


async def use(pool: ModelPool, name: str) -> None:
    await pool.borrow(name)
    pool.give_back(name)


def ids(pool: ModelPool) -> list[str]:
    return [info.id for info in pool.loaded()]


def test_the_least_recently_used_model_is_unloaded_for_the_requested_one() -> None:
    clock = Clock()

    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        for name in ("one", "two", "one", "three"):
            clock.now += 1
            await use(pool, name)
        assert ids(pool) == ["three", "one"]
        assert fakes.started == ["one", "two", "three"]
        assert (pool.counts.num_loads, pool.counts.num_unloads) == (3, 1)

    play_with(play, FakeModels(one=40 * MB, two=40 * MB, three=40 * MB), PoolTimeouts(clock=clock))


def test_a_model_in_use_stays_and_a_request_for_another_gets_a_retryable_error() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await pool.borrow("one")
        with pytest.raises(OverloadedError, match=r"to load org/two while .* in use: one") as refused:
            await pool.borrow("two")
        assert refused.value.retry_after_seconds > 0
        assert ids(pool) == ["one"]
        assert fakes.started == ["one"]
        pool.give_back("one")

    play_with(play, FakeModels(one=60 * MB, two=60 * MB))


def test_an_open_stream_keeps_its_model_loaded_even_if_it_was_not_borrowed() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        model = await pool.load_model(ModelConfig("org/one"))
        async with aclosing(model.generate(REQUEST)) as events:
            await anext(events)
            with pytest.raises(OverloadedError):
                await pool.borrow("two")
        await use(pool, "two")
        assert ids(pool) == ["two"]

    play_with(play, FakeModels(one=60 * MB, two=60 * MB))


def test_a_load_waits_until_the_model_in_use_is_given_back() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await pool.borrow("one")
        waiting = asyncio.create_task(pool.borrow("two"))
        await asyncio.sleep(0.05)
        pool.give_back("one")
        assert (await waiting).info.id == "two"
        assert pool.in_use("two")
        pool.give_back("two")

    play_with(play, FakeModels(one=60 * MB, two=60 * MB), PoolTimeouts(room_seconds=1000))


def test_new_requests_for_the_model_in_use_queue_after_a_load_that_waits_for_room() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await pool.borrow("one")
        waiting = asyncio.create_task(pool.borrow("two"))
        await asyncio.sleep(0.05)
        newcomer = asyncio.create_task(pool.borrow("one"))
        await asyncio.sleep(0.05)
        assert not newcomer.done()
        pool.give_back("one")
        await waiting
        pool.give_back("two")
        assert (await newcomer).info.id == "one"
        pool.give_back("one")
        assert fakes.started == ["one", "two", "one"]

    play_with(play, FakeModels(one=60 * MB, two=60 * MB), PoolTimeouts(room_seconds=1000))


def test_concurrent_requests_share_one_load() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        borrowed = await asyncio.gather(*(pool.borrow("one") for _ in range(8)))
        assert len({id(model) for model in borrowed}) == 1
        assert fakes.started == ["one"]
        for _ in borrowed:
            assert pool.in_use("one")
            pool.give_back("one")
        assert not pool.in_use("one")

    play_with(play, FakeModels(one=10 * MB))


def test_a_failed_load_raises_for_every_waiting_caller_and_leaves_no_memory_reserved() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        fakes.faults = {"one"}
        outcomes = await asyncio.gather(*(pool.borrow("one") for _ in range(4)), return_exceptions=True)
        assert [type(each) for each in outcomes] == [ModelLoadingError] * 4
        assert fakes.memory.reserved_bytes() == 0
        assert [state.status for state in pool.states()] == ["unloaded"]
        fakes.faults = set()
        await use(pool, "one")
        assert pool.counts.num_failed_loads == 1

    play_with(play, FakeModels(one=10 * MB))


def test_a_cancelled_caller_does_not_cancel_the_load_and_leaves_an_idle_model() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        fakes.may_load.clear()
        cancelled = asyncio.create_task(pool.borrow("one"))
        await asyncio.sleep(0.01)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        assert [state.status for state in pool.states()] == ["loading"]
        fakes.may_load.set()
        await use(pool, "one")
        assert fakes.started == ["one"]
        await pool.unload_model("one")
        assert fakes.memory.reserved_bytes() == 0

    play_with(play, FakeModels(one=10 * MB))


def test_a_load_that_waits_for_room_is_given_up_when_its_last_caller_is_cancelled() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await pool.borrow("one")
        cancelled = asyncio.create_task(pool.borrow("two"))
        await asyncio.sleep(0.05)
        cancelled.cancel()
        await asyncio.wait({cancelled})
        await pool.borrow("one")  # nothing waits for its memory any more
        pool.give_back("one")
        pool.give_back("one")
        assert fakes.started == ["one"]

    play_with(play, FakeModels(one=60 * MB, two=60 * MB), PoolTimeouts(room_seconds=1000))


def test_a_model_that_can_never_fit_is_refused_with_both_figures_and_unloads_no_other() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await use(pool, "one")
        with pytest.raises(InsufficientMemoryError) as refused:
            await pool.borrow("huge")
        assert (refused.value.required_bytes, refused.value.available_bytes) == (200 * MB, CAPACITY_BYTES)
        assert ids(pool) == ["one"]
        assert fakes.started == ["one"]

    play_with(play, FakeModels(one=60 * MB, huge=200 * MB))


def test_a_model_larger_than_expected_is_loaded_at_the_second_attempt() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await use(pool, "one")
        fakes.weights_bytes["two"] = 60 * MB  # registered with 10 MB
        await use(pool, "two")
        assert ids(pool) == ["two"]
        assert fakes.started == ["one", "two", "two"]

    play_with(play, FakeModels(one=60 * MB, two=10 * MB))


def test_a_model_that_is_idle_for_long_enough_is_unloaded() -> None:
    clock = Clock()

    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await use(pool, "one")
        await pool.borrow("two")
        clock.now = 59
        assert await pool.unload_idle() == ()
        clock.now = 60
        assert await pool.unload_idle() == ("one",)
        clock.now = 200
        assert await pool.unload_idle() == ()
        pool.give_back("two")
        clock.now = 259
        assert await pool.unload_idle() == ()
        clock.now = 260
        assert await pool.unload_idle() == ("two",)
        assert fakes.memory.reserved_bytes() == 0
        await use(pool, "one")
        assert ids(pool) == ["one"]

    play_with(play, FakeModels(one=10 * MB, two=10 * MB), PoolTimeouts(idle_seconds=60, clock=clock))


def test_the_watch_unloads_idle_models() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        watch = asyncio.create_task(pool.watch_idle())
        await use(pool, "one")
        while ids(pool) or fakes.memory.reserved_bytes():  # noqa: ASYNC110 - bounded by the test's own timeout
            await asyncio.sleep(0.01)
        watch.cancel()

    play_with(play, FakeModels(one=10 * MB), PoolTimeouts(idle_seconds=0.05))


def test_closing_the_pool_fails_a_load_that_waits_for_room() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await pool.borrow("one")
        waiting = asyncio.create_task(pool.borrow("two"))
        await asyncio.sleep(0.05)
        await pool.aclose()
        with pytest.raises(OverloadedError):
            await waiting

    play_with(play, FakeModels(one=60 * MB, two=60 * MB), PoolTimeouts(room_seconds=1000))


def test_an_idle_model_is_unloaded_to_make_room_for_an_answer() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await use(pool, "two")
        model = ModelLease(await pool.borrow("one"), pool.make_room)
        filler = fakes.memory.reserve(30 * MB, BufferUsage.STORED_PROMPTS)
        async with aclosing(model.generate(REQUEST)) as events:
            assert [event async for event in events]
        assert ids(pool) == ["one"]
        fakes.memory.release(filler)
        pool.give_back("one")

    play_with(play, FakeModels(one=30 * MB, two=40 * MB - 1000))


def test_an_answer_is_refused_when_there_is_no_room_and_no_idle_model() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        model = ModelLease(await pool.borrow("one"), pool.make_room)
        filler = fakes.memory.reserve(CAPACITY_BYTES - fakes.memory.reserved_bytes(), BufferUsage.STORED_PROMPTS)
        with pytest.raises(InsufficientMemoryError):
            await anext(model.generate(REQUEST))
        fakes.memory.release(filler)
        pool.give_back("one")

    play_with(play, FakeModels(one=30 * MB))


def test_the_default_model_is_listed_first_and_each_is_found_by_its_id_or_source() -> None:
    async def play(pool: ModelPool, fakes: FakeModels) -> None:
        await use(pool, "three")
        assert [info.id for info in pool.known()] == ["one", "three", "two"]
        assert pool.find("org/two") == pool.find("two")
        with pytest.raises(NotFoundError, match="'four' is not served here; served: one, three, two"):
            await pool.borrow("four")

    play_with(play, FakeModels(one=10 * MB, two=10 * MB, three=10 * MB))


def test_two_models_with_the_same_id_are_refused() -> None:
    one, two = FakeModels(one=MB).known, FakeModels(two=MB).known
    with pytest.raises(ModelLoadingError, match="by the same name"):
        ModelPool(FakeModels().start, FakeModels().memory, known=(*one, *(type(two[0])("elsewhere/one", one[0].info),)))
