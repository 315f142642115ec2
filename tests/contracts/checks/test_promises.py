"""The helpers with which the checks test promises."""

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

KEPT = promise("AB-20", "a promise holds")
OTHER = promise("AB-21", "another promise holds")


def refuse() -> None:
    raise NotFoundError("it is not here")


async def refuse_later() -> None:
    await asyncio.sleep(0)
    refuse()


def test_an_error_breaks_the_promise_and_becomes_the_cause() -> None:
    with pytest.raises(ContractViolation, match=r"AB-20.*KeyError was raised") as violation, promised(KEPT):
        raise KeyError
    assert isinstance(violation.value.__cause__, KeyError)


def test_a_violation_keeps_its_own_clause() -> None:
    with pytest.raises(ContractViolation, match="AB-21"), promised(KEPT):
        raise ContractViolation(OTHER)


def test_a_wait_that_is_too_long_breaks_the_promise() -> None:
    async def hang() -> None:
        async with promised_within(KEPT, 0.01):
            await asyncio.Event().wait()

    with pytest.raises(ContractViolation, match=r"AB-20.*TimeoutError"):
        asyncio.run(hang())


def test_a_refusal_of_the_expected_kind_keeps_the_promise() -> None:
    expect_refusal(KEPT, ErrorKind.NOT_FOUND, refuse)
    asyncio.run(expect_refusal_async(KEPT, ErrorKind.NOT_FOUND, refuse_later))


def test_a_refusal_of_another_kind_breaks_the_promise() -> None:
    with pytest.raises(ContractViolation, match="NotFoundError was raised instead of overloaded"):
        expect_refusal(KEPT, ErrorKind.OVERLOADED, refuse)


def test_no_refusal_at_all_breaks_the_promise() -> None:
    with pytest.raises(ContractViolation, match="it was not refused"):
        expect_refusal(KEPT, ErrorKind.NOT_FOUND, lambda: None)
    with pytest.raises(ContractViolation, match="it was not refused"):
        asyncio.run(expect_refusal_async(KEPT, ErrorKind.NOT_FOUND, asyncio.sleep, 0))


def test_a_provoked_call_may_fail_but_must_not_break_a_clause() -> None:
    async def overload() -> None:
        raise OverloadedError("no place", retry_after_seconds=1)

    async def violate() -> None:
        raise ContractViolation(OTHER)

    asyncio.run(provoke(overload))
    asyncio.run(provoke(asyncio.sleep, 0))
    with pytest.raises(ContractViolation, match="AB-21"):
        asyncio.run(provoke(violate))


def test_settles_waits_until_the_condition_holds_or_time_is_up() -> None:
    answers = iter([False, False, True])

    async def after_two_checks() -> bool:
        return next(answers)

    async def never() -> bool:
        return False

    assert asyncio.run(settles(after_two_checks, 5))
    assert not asyncio.run(settles(never, 0.02))
