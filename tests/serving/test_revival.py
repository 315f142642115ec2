"""A model whose engine failed is loaded again, once; then the process has to be replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from contracts.values.faults import EngineFault
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.scripted.engine import ScriptedEngine
from pensieve.engine.scripted.script import Script
from pensieve.models.estimate.known_model import KnownModel
from pensieve.serving.model_pool import ModelPool
from pensieve.serving.timeouts import PoolTimeouts
from tests.serving.heavy_scripts import CAPACITY_BYTES, info_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class FailingEngine(ScriptedEngine):
    """`fail` makes it report a fault."""

    def __init__(self, memory: Ledger) -> None:
        super().__init__(Script(), memory, SlidingWindowMonitor(memory.usage))
        self.is_closed = False
        self._fault: asyncio.Future[EngineFault | None] = asyncio.get_running_loop().create_future()

    def fail(self, reason: str, *, can_reload: bool = True) -> None:
        self._fault.set_result(EngineFault(reason, can_reload))

    async def failed(self) -> EngineFault | None:
        return await self._fault

    async def aclose(self) -> None:
        self.is_closed = True
        if not self._fault.done():
            self._fault.set_result(None)
        await super().aclose()


class Engines:
    """Starts engines of the model `scripted`; `may_start` holds up the next start."""

    def __init__(self) -> None:
        self.memory = Ledger(CAPACITY_BYTES)
        self.started: list[FailingEngine] = []
        self.may_start = asyncio.Event()
        self.may_start.set()
        self.error: Exception | None = None

    async def start(self, _: str) -> FailingEngine:
        await self.may_start.wait()
        if self.error is not None:
            raise self.error
        self.started.append(FailingEngine(self.memory))
        return self.started[-1]


def play(scene: Callable[[ModelPool, Engines, Clock], Awaitable[None]]) -> None:
    async def run() -> None:
        engines, clock = Engines(), Clock()
        known = KnownModel("one", info_of("scripted"))
        pool = ModelPool(engines.start, engines.memory, known=[known], timeouts=PoolTimeouts(clock=clock))
        async with asyncio.timeout(300):
            await scene(pool, engines, clock)
            await pool.aclose()

    asyncio.run(run())


async def until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - bounded by the test's own timeout
        await asyncio.sleep(0)


def test_a_request_that_arrives_during_the_reload_waits_for_the_new_engine() -> None:
    async def scene(pool: ModelPool, engines: Engines, _: Clock) -> None:
        first = await pool.borrow("scripted")
        engines.may_start.clear()
        engines.started[0].fail("planted")
        await until(lambda: pool.fault)
        assert pool.fault == "scripted: planted"
        waiting = asyncio.create_task(pool.borrow("scripted"))
        await until(lambda: engines.started[0].is_closed)
        assert not waiting.done()
        engines.may_start.set()
        second = await waiting
        assert pool.fault is None
        assert [first, second] == engines.started
        for _number in range(2):
            assert pool.in_use("scripted")
            pool.give_back("scripted")
        assert not pool.in_use("scripted")

    play(scene)


def test_a_model_that_fails_again_soon_is_not_loaded_a_second_time() -> None:
    async def scene(pool: ModelPool, engines: Engines, clock: Clock) -> None:
        await pool.borrow("scripted")
        lost = asyncio.create_task(pool.lost())
        engines.started[0].fail("planted")
        await until(lambda: len(engines.started) == 2 and pool.fault is None)
        clock.now += 599
        engines.started[1].fail("planted again")
        assert await lost == "scripted: planted again"
        assert pool.fault == "scripted: planted again"
        assert len(engines.started) == 2

    play(scene)


def test_a_model_that_ran_for_a_while_is_loaded_again() -> None:
    async def scene(pool: ModelPool, engines: Engines, clock: Clock) -> None:
        await pool.borrow("scripted")
        for number in range(5):
            engines.started[-1].fail(f"fault {number}")
            await until(lambda number=number: len(engines.started) == number + 2 and pool.fault is None)  # type: ignore[misc]
            clock.now += 600

    play(scene)


def test_an_engine_that_hangs_is_not_loaded_beside_its_thread() -> None:
    async def scene(pool: ModelPool, engines: Engines, _: Clock) -> None:
        await pool.borrow("scripted")
        engines.started[0].fail("it hangs", can_reload=False)
        assert await pool.lost() == "scripted: it hangs"
        assert len(engines.started) == 1

    play(scene)


def test_a_failed_reload_is_part_of_the_reason_and_nothing_waits_for_it() -> None:
    async def scene(pool: ModelPool, engines: Engines, _: Clock) -> None:
        await pool.borrow("scripted")
        engines.may_start.clear()
        engines.error = RuntimeError("no weights")
        engines.started[0].fail("planted")
        await until(lambda: pool.fault)
        waiting = asyncio.create_task(pool.borrow("scripted"))
        engines.may_start.set()
        assert await pool.lost() == "scripted: planted; loading it again failed: no weights"
        assert await waiting is engines.started[0]  # whose requests get its error

    play(scene)


def test_a_model_that_is_unloaded_is_not_loaded_again() -> None:
    async def scene(pool: ModelPool, engines: Engines, _: Clock) -> None:
        await pool.borrow("scripted")
        pool.give_back("scripted")
        await pool.unload_model("scripted")
        await until(lambda: engines.started[0].is_closed)
        assert len(engines.started) == 1
        assert pool.fault is None

    play(scene)
