import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager

import pytest

from contracts.values.vocabulary import BufferUsage, ChatMessage, GenerationRequest, ModelConfig, Role
from pensieve.core.errors import InsufficientMemoryError, ModelLoadingError, NotFoundError, OverloadedError
from pensieve.serving.lease import ModelLease
from pensieve.serving.model_pool import ModelPool
from pensieve.serving.patience import Patience
from tests.serving.heavy_scripts import CAPACITY_BYTES, MB, Shop

ASKED = GenerationRequest((ChatMessage(Role.USER, "Hello"),), max_tokens=64)
QUICK = Patience(room_seconds=0.3)

Play = Callable[[ModelPool, Shop], Awaitable[None]]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def models_of(shop: Shop, patience: Patience = QUICK) -> AsyncIterator[ModelPool]:
    models = ModelPool(shop.start, shop.memory, known=shop.known, patience=patience)
    try:
        yield models
    finally:
        await models.aclose()
        assert shop.memory.reserved_bytes() == 0


def played(play: Play, shop: Shop, patience: Patience = QUICK) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), models_of(shop, patience) as models:
            await play(models, shop)

    asyncio.run(run())


async def used(models: ModelPool, name: str) -> None:
    await models.borrow(name)
    models.give_back(name)


def ids(models: ModelPool) -> list[str]:
    return [info.id for info in models.loaded()]


def test_the_least_recently_used_makes_room_for_the_one_that_is_asked_for() -> None:
    clock = Clock()

    async def play(models: ModelPool, shop: Shop) -> None:
        for name in ("one", "two", "one", "three"):
            clock.now += 1
            await used(models, name)
        assert ids(models) == ["three", "one"]
        assert shop.started == ["one", "two", "three"]
        assert (models.counts.num_loads, models.counts.num_unloads) == (3, 1)

    played(play, Shop(one=40 * MB, two=40 * MB, three=40 * MB), Patience(clock=clock))


def test_a_model_in_use_stays_and_whoever_wants_its_room_is_told_to_come_back() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await models.borrow("one")
        with pytest.raises(OverloadedError, match="no memory for org/two while it is in use by one") as refused:
            await models.borrow("two")
        assert refused.value.retry_after_seconds > 0
        assert ids(models) == ["one"]
        assert shop.started == ["one"]
        models.give_back("one")

    played(play, Shop(one=60 * MB, two=60 * MB))


def test_a_stream_keeps_its_model_even_if_nobody_borrowed_it() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        model = await models.load_model(ModelConfig("org/one"))
        async with aclosing(model.generate(ASKED)) as events:
            await anext(events)
            with pytest.raises(OverloadedError):
                await models.borrow("two")
        await used(models, "two")
        assert ids(models) == ["two"]

    played(play, Shop(one=60 * MB, two=60 * MB))


def test_a_model_waits_for_the_one_in_use_and_comes_when_that_is_given_back() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await models.borrow("one")
        waiting = asyncio.create_task(models.borrow("two"))
        await asyncio.sleep(0.05)
        models.give_back("one")
        assert (await waiting).info.id == "two"
        assert models.in_use("two")
        models.give_back("two")

    played(play, Shop(one=60 * MB, two=60 * MB), Patience(room_seconds=10))


def test_while_one_waits_for_room_no_newcomer_holds_it_up() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await models.borrow("one")
        waiting = asyncio.create_task(models.borrow("two"))
        await asyncio.sleep(0.05)
        newcomer = asyncio.create_task(models.borrow("one"))
        await asyncio.sleep(0.05)
        assert not newcomer.done()
        models.give_back("one")
        await waiting
        models.give_back("two")
        assert (await newcomer).info.id == "one"
        models.give_back("one")
        assert shop.started == ["one", "two", "one"]

    played(play, Shop(one=60 * MB, two=60 * MB), Patience(room_seconds=10))


def test_those_who_ask_at_once_get_one_model_that_is_loaded_once() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        shop.seconds = 0.05
        got = await asyncio.gather(*(models.borrow("one") for _ in range(8)))
        assert len({id(model) for model in got}) == 1
        assert shop.started == ["one"]
        for _ in got:
            assert models.in_use("one")
            models.give_back("one")
        assert not models.in_use("one")

    played(play, Shop(one=10 * MB))


def test_a_load_that_fails_tells_all_who_wait_and_leaves_nothing_behind() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        shop.faults, shop.seconds = {"one"}, 0.05
        told = await asyncio.gather(*(models.borrow("one") for _ in range(4)), return_exceptions=True)
        assert [type(each) for each in told] == [ModelLoadingError] * 4
        assert shop.memory.reserved_bytes() == 0
        assert [state.status for state in models.states()] == ["unloaded"]
        shop.faults = set()
        await used(models, "one")
        assert models.counts.num_failed_loads == 1

    played(play, Shop(one=10 * MB))


def test_a_client_that_leaves_while_its_model_loads_leaves_a_whole_model_that_nobody_uses() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        shop.seconds = 0.05
        leaving = asyncio.create_task(models.borrow("one"))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.wait({leaving})
        assert [state.status for state in models.states()] == ["loading"]
        await used(models, "one")
        assert shop.started == ["one"]
        await models.unload_model("one")
        assert shop.memory.reserved_bytes() == 0

    played(play, Shop(one=10 * MB))


def test_a_client_that_leaves_while_its_model_waits_for_room_takes_its_wish_along() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await models.borrow("one")
        leaving = asyncio.create_task(models.borrow("two"))
        await asyncio.sleep(0.05)
        leaving.cancel()
        await asyncio.wait({leaving})
        await models.borrow("one")  # nobody is in its way any more
        models.give_back("one")
        models.give_back("one")
        assert shop.started == ["one"]

    played(play, Shop(one=60 * MB, two=60 * MB), Patience(room_seconds=1000))


def test_what_can_never_fit_is_refused_with_both_figures_and_nothing_makes_room_for_it() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await used(models, "one")
        with pytest.raises(InsufficientMemoryError) as refused:
            await models.borrow("huge")
        assert (refused.value.required_bytes, refused.value.available_bytes) == (200 * MB, CAPACITY_BYTES)
        assert ids(models) == ["one"]
        assert shop.started == ["one"]

    played(play, Shop(one=60 * MB, huge=200 * MB))


def test_a_model_that_takes_more_than_was_expected_gets_its_room_all_the_same() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await used(models, "one")
        shop.weights_bytes["two"] = 60 * MB  # it was known as one of 10 MB
        await used(models, "two")
        assert ids(models) == ["two"]
        assert shop.started == ["one", "two", "two"]

    played(play, Shop(one=60 * MB, two=10 * MB))


def test_what_nobody_uses_for_long_enough_is_unloaded() -> None:
    clock = Clock()

    async def play(models: ModelPool, shop: Shop) -> None:
        await used(models, "one")
        await models.borrow("two")
        clock.now = 59
        assert await models.unload_idle() == ()
        clock.now = 60
        assert await models.unload_idle() == ("one",)
        clock.now = 200
        assert await models.unload_idle() == ()
        models.give_back("two")
        clock.now = 259
        assert await models.unload_idle() == ()
        clock.now = 260
        assert await models.unload_idle() == ("two",)
        assert shop.memory.reserved_bytes() == 0
        await used(models, "one")
        assert ids(models) == ["one"]

    played(play, Shop(one=10 * MB, two=10 * MB), Patience(idle_seconds=60, clock=clock))


def test_the_watch_unloads_by_itself() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        watch = asyncio.create_task(models.watch_idle())
        await used(models, "one")
        while ids(models):  # noqa: ASYNC110 - bounded by the test's own timeout
            await asyncio.sleep(0.01)
        watch.cancel()
        assert shop.memory.reserved_bytes() == 0

    played(play, Shop(one=10 * MB), Patience(idle_seconds=0.05))


def test_the_end_gives_up_what_waits_for_room() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await models.borrow("one")
        waiting = asyncio.create_task(models.borrow("two"))
        await asyncio.sleep(0.05)
        await models.aclose()
        with pytest.raises(OverloadedError):
            await waiting

    played(play, Shop(one=60 * MB, two=60 * MB), Patience(room_seconds=1000))


def test_an_answer_gets_the_room_of_a_model_that_nobody_uses() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await used(models, "two")
        model = ModelLease(await models.borrow("one"), models.make_room)
        filler = shop.memory.reserve(30 * MB, BufferUsage.STORED_PROMPTS)
        async with aclosing(model.generate(ASKED)) as events:
            assert [event async for event in events]
        assert ids(models) == ["one"]
        shop.memory.release(filler)
        models.give_back("one")

    played(play, Shop(one=30 * MB, two=40 * MB - 1000))


def test_an_answer_that_finds_no_room_anywhere_is_refused() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        model = ModelLease(await models.borrow("one"), models.make_room)
        filler = shop.memory.reserve(CAPACITY_BYTES - shop.memory.reserved_bytes(), BufferUsage.STORED_PROMPTS)
        with pytest.raises(InsufficientMemoryError):
            await anext(model.generate(ASKED))
        shop.memory.release(filler)
        models.give_back("one")

    played(play, Shop(one=30 * MB))


def test_the_first_model_is_listed_first_and_each_goes_by_its_id_and_by_what_the_user_calls_it() -> None:
    async def play(models: ModelPool, shop: Shop) -> None:
        await used(models, "three")
        assert [info.id for info in models.known()] == ["one", "three", "two"]
        assert models.find("org/two") == models.find("two")
        with pytest.raises(NotFoundError, match="'four' is not served here; served: one, three, two"):
            await models.borrow("four")

    played(play, Shop(one=10 * MB, two=10 * MB, three=10 * MB))


def test_two_models_of_one_name_are_refused() -> None:
    one, two = Shop(one=MB).known, Shop(two=MB).known
    with pytest.raises(ModelLoadingError, match="by the same name"):
        ModelPool(Shop().start, Shop().memory, known=(*one, *(type(two[0])("elsewhere/one", one[0].info),)))
