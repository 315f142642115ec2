"""The words in which the checks put a promise to the test."""

from __future__ import annotations

import asyncio

import pytest

from contracts.checks.promises import (
    expect_refusal,
    expect_refusal_async,
    promise,
    promised,
    promised_within,
    provoke,
    settles,
)
from contracts.clauses import ContractViolation
from contracts.values.vocabulary import ErrorKind
from pensieve.core.errors import NotFoundError, OverloadedError

KEPT = promise("AB-20", "a promise is kept")
OTHER = promise("AB-21", "another one is")


def refuse() -> None:
    raise NotFoundError("it is not here")


async def refuse_later() -> None:
    await asyncio.sleep(0)
    refuse()


def test_an_error_breaks_the_promise_it_leaves_and_stays_its_cause() -> None:
    with pytest.raises(ContractViolation, match=r"AB-20.*KeyError left it") as violation, promised(KEPT):
        raise KeyError
    assert isinstance(violation.value.__cause__, KeyError)


def test_a_violation_keeps_its_own_clause_on_its_way_out() -> None:
    with pytest.raises(ContractViolation, match="AB-21"), promised(KEPT):
        raise ContractViolation(OTHER)


def test_a_wait_that_is_too_long_breaks_the_promise() -> None:
    async def hang() -> None:
        async with promised_within(KEPT, 0.01):
            await asyncio.Event().wait()

    with pytest.raises(ContractViolation, match=r"AB-20.*TimeoutError"):
        asyncio.run(hang())


def test_a_refusal_of_the_right_kind_is_what_was_expected() -> None:
    expect_refusal(KEPT, ErrorKind.NOT_FOUND, refuse)
    asyncio.run(expect_refusal_async(KEPT, ErrorKind.NOT_FOUND, refuse_later))


def test_a_refusal_of_another_kind_breaks_the_promise() -> None:
    with pytest.raises(ContractViolation, match="NotFoundError was raised, and not overloaded"):
        expect_refusal(KEPT, ErrorKind.OVERLOADED, refuse)


def test_no_refusal_at_all_breaks_the_promise() -> None:
    with pytest.raises(ContractViolation, match="it was not refused"):
        expect_refusal(KEPT, ErrorKind.NOT_FOUND, lambda: None)
    with pytest.raises(ContractViolation, match="it was not refused"):
        asyncio.run(expect_refusal_async(KEPT, ErrorKind.NOT_FOUND, asyncio.sleep, 0))


def test_what_is_provoked_may_fail_or_not_but_must_not_break_a_clause() -> None:
    async def overload() -> None:
        raise OverloadedError("no place", retry_after_seconds=1)

    async def violate() -> None:
        raise ContractViolation(OTHER)

    asyncio.run(provoke(overload))
    asyncio.run(provoke(asyncio.sleep, 0))
    with pytest.raises(ContractViolation, match="AB-21"):
        asyncio.run(provoke(violate))


def test_what_settles_is_waited_for_and_what_does_not_is_given_up() -> None:
    answers = iter([False, False, True])

    async def in_a_while() -> bool:
        return next(answers)

    async def never() -> bool:
        return False

    assert asyncio.run(settles(in_a_while, 5))
    assert not asyncio.run(settles(never, 0.02))
