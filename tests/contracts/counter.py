"""A contract with clauses of every kind, an implementation that keeps it, and helpers to catch one that does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, Protocol, cast

import pytest

from contracts.checked import checked
from contracts.clauses import ContractViolation, ensures, raises_only, refuses, requires, yields
from contracts.values.vocabulary import ErrorKind
from pensieve.core.errors import NotFoundError, OverloadedError, ValidationError

SECRET = "a private prompt"


class Rising:
    """Numbers rise, and the last one is 3."""

    def __init__(self, start: int) -> None:
        self.last = start

    def see(self, item: int) -> None:
        _expect_rising(item > self.last)
        self.last = item

    def finish(self) -> None:
        _expect_rising(self.last == 3)


class Counter(Protocol):
    @property
    @ensures("CO-1", "the total is not negative", lambda result: result >= 0)
    @raises_only("CO-2", "reading the total never fails")
    def total(self) -> int: ...

    @requires("CO-3", "the added number is positive", lambda number: number > 0)
    @refuses("CO-4", "a full counter refuses", lambda self: self.total >= 10, ErrorKind.OVERLOADED, "number")
    @ensures(
        "CO-5",
        "the total rises by the number",
        lambda self, old, number: self.total == old + number,
        before=lambda self: self.total,
    )
    @raises_only("CO-6", "adding fails only with these errors", ErrorKind.OVERLOADED, ErrorKind.VALIDATION)
    def add(self, number: int, *, note: str = "") -> int: ...

    @refuses("CO-7", "an unknown name is refused", lambda name: name == "unknown", ErrorKind.NOT_FOUND)
    @ensures("CO-8", "a name has a number", lambda result: result >= 1)
    @raises_only("CO-9", "looking up fails only with these errors", ErrorKind.NOT_FOUND, ErrorKind.OVERLOADED)
    async def look_up(self, name: str) -> int: ...

    @requires("CO-10", "the start is not negative", lambda start: start >= 0)
    @refuses("CO-11", "nothing follows 3", lambda start: start >= 3, ErrorKind.VALIDATION, "start")
    @yields("CO-12", "numbers rise to 3", Rising)
    @raises_only("CO-13", "counting fails only with this error", ErrorKind.VALIDATION)
    def count_from(self, start: int) -> AsyncGenerator[int, None]: ...

    @raises_only("CO-14", "ticking never fails")
    def ticks(self) -> AsyncGenerator[int, None]: ...

    def plain(self) -> str: ...


def _expect_rising(holds: bool) -> None:  # noqa: FBT001
    if not holds:
        entry = next(entry for entry in cast(Any, Counter.count_from).__clauses__ if entry.clause.id == "CO-12")
        raise ContractViolation(entry.clause)


class GoodCounter:
    def __init__(self, total: int = 0) -> None:
        self._total = total
        self.is_closed = False

    @property
    def total(self) -> int:
        return self._total

    def add(self, number: int, *, note: str = "") -> int:
        if self._total >= 10:
            raise OverloadedError(f"full {note}", retry_after_seconds=1)
        self._total += number
        return self._total

    async def look_up(self, name: str) -> int:
        await asyncio.sleep(0)
        if name == "unknown":
            raise NotFoundError("there is no such name")
        return len(name)

    async def count_from(self, start: int) -> AsyncGenerator[int, None]:
        if start >= 3:
            raise ValidationError("start", "at most 2")
        try:
            for number in range(start + 1, 4):
                yield number
                await asyncio.sleep(0)
        finally:
            self.is_closed = True

    async def ticks(self) -> AsyncGenerator[int, None]:
        yield 1

    def plain(self) -> str:
        return "plain"


def add(counter: Counter) -> Callable[[], object]:
    return lambda: counter.add(1)


def wrapped(implementation: object) -> Counter:
    return checked(Counter, cast(Counter, implementation))


def caught(call: Callable[[], object]) -> ContractViolation:
    with pytest.raises(ContractViolation) as violation:
        call()
    return violation.value


def caught_running(coroutine: Coroutine[Any, Any, object]) -> ContractViolation:
    return caught(lambda: asyncio.run(coroutine))


async def listed(items: AsyncIterator[int]) -> list[int]:
    return [item async for item in items]
