"""`checked` around plain calls, awaited calls and properties: every kind of clause catches a violation."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, cast

import pytest

from pensieve.core.errors import OverloadedError, ValidationError
from tests.contracts.counter import SECRET, GoodCounter, add, caught, caught_running, listed, wrapped


def test_an_implementation_that_keeps_its_clauses_behaves_as_if_unwrapped() -> None:
    counter = wrapped(GoodCounter())
    assert counter.add(2) == counter.total == 2
    assert asyncio.run(counter.look_up("three")) == 5
    assert asyncio.run(listed(counter.count_from(0))) == [1, 2, 3]
    assert counter.plain() == "plain"


def test_attributes_outside_the_protocol_pass_through() -> None:
    assert cast(GoodCounter, wrapped(GoodCounter())).is_closed is False
    with pytest.raises(AttributeError, match="nowhere"):
        cast(Any, wrapped(GoodCounter())).nowhere()


def test_a_forbidden_call_blames_the_caller() -> None:
    violation = caught(lambda: wrapped(GoodCounter()).add(0))
    assert (violation.clause.id, violation.clause.blames) == ("CO-3", "caller")


def test_a_forbidden_call_never_reaches_the_implementation() -> None:
    implementation = GoodCounter()
    caught(lambda: wrapped(implementation).add(-1))
    assert implementation.total == 0


def test_a_forbidden_stream_blames_the_caller() -> None:
    assert caught(lambda: wrapped(GoodCounter()).count_from(-1)).clause.id == "CO-10"


def test_a_wrong_state_after_the_call_blames_the_implementation() -> None:
    class Forgetful(GoodCounter):
        def add(self, number: int, *, note: str = "") -> int:
            return number + len(note)

    violation = caught(add(wrapped(Forgetful())))
    assert (violation.clause.id, violation.clause.blames) == ("CO-5", "implementation")


def test_an_awaited_result_is_checked() -> None:
    assert caught_running(cast(Any, wrapped(GoodCounter()).look_up(""))).clause.id == "CO-8"


def test_a_malformed_result_breaks_the_clause_that_inspects_it() -> None:
    class Vague(GoodCounter):
        async def look_up(self, name: str) -> int:
            return cast(int, name)

    violation = caught_running(cast(Any, wrapped(Vague()).look_up(SECRET)))
    assert violation.clause.id == "CO-8"
    assert "TypeError" in str(violation)


def test_a_property_is_checked() -> None:
    assert wrapped(GoodCounter(3)).total == 3
    assert caught(lambda: wrapped(GoodCounter(-1)).total).clause.id == "CO-1"


def test_a_property_that_fails_is_caught() -> None:
    class Opaque(GoodCounter):
        @property
        def total(self) -> int:
            raise OSError

    assert caught(lambda: wrapped(Opaque()).total).clause.id == "CO-2"


def test_a_required_refusal_passes_through() -> None:
    class NamesTheField(GoodCounter):
        def add(self, number: int, *, note: str = "") -> int:
            try:
                return super().add(number, note=note)
            except OverloadedError as error:
                error.field = "number"
                raise

    with pytest.raises(OverloadedError):
        wrapped(NamesTheField(10)).add(1)


def test_a_refusal_is_judged_by_the_state_before_the_call() -> None:
    assert wrapped(GoodCounter(9)).add(5) == 14


def test_a_missing_refusal_of_a_call_is_caught() -> None:
    class Boundless(GoodCounter):
        def add(self, number: int, *, note: str = "") -> int:
            self._total += number
            return self._total + len(note)

    assert caught(add(wrapped(Boundless(10)))).clause.id == "CO-4"


def test_a_refusal_that_names_another_field_is_caught() -> None:
    violation = caught(add(wrapped(GoodCounter(10))))
    assert violation.clause.id == "CO-4"
    assert "OverloadedError was raised instead" in str(violation)


def test_a_refusal_of_another_kind_is_caught() -> None:
    class Confused(GoodCounter):
        async def look_up(self, name: str) -> int:
            raise OverloadedError(name, retry_after_seconds=1)

    assert caught_running(cast(Any, wrapped(Confused()).look_up("unknown"))).clause.id == "CO-7"


def test_an_allowed_error_passes_through() -> None:
    class Choosy(GoodCounter):
        def add(self, number: int, *, note: str = "") -> int:
            raise ValidationError("number", f"{number} is not to my taste {note}")

    with pytest.raises(ValidationError):
        wrapped(Choosy()).add(7)


def test_an_error_that_is_not_allowed_is_caught_with_its_cause() -> None:
    class CrashingAdd(GoodCounter):
        def add(self, number: int, *, note: str = "") -> int:
            raise ZeroDivisionError(number, note)

    violation = caught(add(wrapped(CrashingAdd())))
    assert violation.clause.id == "CO-6"
    assert isinstance(violation.__cause__, ZeroDivisionError)


def test_an_awaited_error_that_is_not_allowed_is_caught() -> None:
    class CrashingLookUp(GoodCounter):
        async def look_up(self, name: str) -> int:
            raise KeyError(name)

    assert caught_running(cast(Any, wrapped(CrashingLookUp()).look_up("one"))).clause.id == "CO-9"


def test_a_plain_function_that_returns_an_awaitable_is_checked() -> None:
    class Indirect(GoodCounter):
        def look_up(self, name: str) -> Coroutine[Any, Any, int]:
            return super().look_up(name)

    assert asyncio.run(cast(Any, wrapped(Indirect()).look_up("one"))) == 3
    assert caught_running(cast(Any, wrapped(Indirect()).look_up(""))).clause.id == "CO-8"


def test_a_wrapped_implementation_can_be_wrapped_again() -> None:
    assert caught(add(wrapped(wrapped(GoodCounter(10))))).clause.id == "CO-4"
    assert asyncio.run(listed(wrapped(wrapped(GoodCounter())).count_from(0))) == [1, 2, 3]


def test_a_violation_never_contains_an_argument() -> None:
    class CrashingEverywhere(GoodCounter):
        def add(self, number: int, *, note: str = "") -> int:
            raise LookupError(number, note)

        async def look_up(self, name: str) -> int:
            raise LookupError(name)

    violations = [
        caught(lambda: wrapped(GoodCounter()).add(0, note=SECRET)),
        caught(lambda: wrapped(GoodCounter(10)).add(1, note=SECRET)),
        caught(lambda: wrapped(CrashingEverywhere()).add(1, note=SECRET)),
        caught_running(cast(Any, wrapped(CrashingEverywhere()).look_up(SECRET))),
    ]
    assert not [violation for violation in violations if SECRET in str(violation)]
