"""Clauses: numbered sentences of a contract that can be executed.

A method or property of a Protocol carries its clauses as data (`clauses_of`); `contracts.checked` runs them around any
implementation. There are five kinds:

    requires       what the caller must ensure before the call
    ensures        what the implementation must ensure on return: its result, and its state before and after
    yields         what an async iterator must ensure, item by item and at its end
    refuses        when the implementation must raise, and which error
    raises_only    which errors the implementation may raise at all

A violation names the clause and quotes its sentence. It never contains an argument, because prompts are private.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

from contracts.values.vocabulary import ErrorKind

F = TypeVar("F", bound=Callable[..., Any])

CALLER, IMPLEMENTATION = "caller", "implementation"


@dataclass(frozen=True, slots=True)
class Clause:
    """One numbered sentence of a contract. `blames` is the side that broke it if it does not hold."""

    id: str
    sentence: str
    blames: str = IMPLEMENTATION


class ContractViolation(AssertionError):  # noqa: N818 - its usual name
    """A clause did not hold."""

    def __init__(self, clause: Clause, detail: str = "") -> None:
        super().__init__(f"{clause.id} ({clause.blames}): {clause.sentence}" + (f" [{detail}]" if detail else ""))
        self.clause = clause


class ItemMonitor(Protocol):
    """Watches one stream. Both methods raise ContractViolation; `see` takes constant time, however long the stream."""

    def see(self, item: Any, /) -> None: ...

    def finish(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Requires:
    clause: Clause
    holds: Callable[..., bool]


@dataclass(frozen=True, slots=True)
class Ensures:
    clause: Clause
    holds: Callable[..., bool]
    before: Callable[..., Any] | None


@dataclass(frozen=True, slots=True)
class Yields:
    clause: Clause
    monitor: Callable[..., ItemMonitor]


@dataclass(frozen=True, slots=True)
class Refuses:
    clause: Clause
    when: Callable[..., bool]
    kind: ErrorKind
    field: str | None


@dataclass(frozen=True, slots=True)
class RaisesOnly:
    clause: Clause
    kinds: frozenset[ErrorKind]


AnyClause = Requires | Ensures | Yields | Refuses | RaisesOnly


def requires(clause_id: str, sentence: str, holds: Callable[..., bool]) -> Callable[[F], F]:
    """The caller must ensure `holds`, a predicate whose parameters have the names of the method's own (or `self`)."""
    return _attach(lambda: Requires(Clause(clause_id, sentence, CALLER), holds), holds)


def ensures(
    clause_id: str, sentence: str, holds: Callable[..., bool], *, before: Callable[..., Any] | None = None
) -> Callable[[F], F]:
    """The implementation must ensure `holds`, which may also take `result`, and `old`: what `before` returned."""
    return _attach(lambda: Ensures(Clause(clause_id, sentence, IMPLEMENTATION), holds, before), holds, before)


def yields(clause_id: str, sentence: str, monitor: Callable[..., ItemMonitor]) -> Callable[[F], F]:
    """A new `monitor(...)` sees every item of the iterator that the method returns, and then its end."""
    return _attach(lambda: Yields(Clause(clause_id, sentence, IMPLEMENTATION), monitor), monitor)


def refuses(
    clause_id: str, sentence: str, when: Callable[..., bool], kind: ErrorKind, field: str | None = None
) -> Callable[[F], F]:
    """If `when` holds, the call must raise an error of `kind` that names `field`; an iterator before any item."""
    return _attach(lambda: Refuses(Clause(clause_id, sentence, IMPLEMENTATION), when, kind, field), when)


def raises_only(clause_id: str, sentence: str, *kinds: ErrorKind) -> Callable[[F], F]:
    """The method raises only errors of these kinds, cancellation aside."""
    return _attach(lambda: RaisesOnly(Clause(clause_id, sentence, IMPLEMENTATION), frozenset(kinds)))


def clauses_of(member: object) -> tuple[AnyClause, ...]:
    """The clauses of a Protocol's method or property, in source order."""
    function = member.fget if isinstance(member, property) else member
    return getattr(function, "__clauses__", ())


@cache
def names_of(predicate: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a predicate's parameters."""
    return tuple(inspect.signature(predicate).parameters)


_SUPPLIED_BY_THE_PROXY = {"result", "old"}


def _attach(make: Callable[[], AnyClause], *predicates: Callable[..., Any] | None) -> Callable[[F], F]:
    def decorate(method: F) -> F:
        available = set(inspect.signature(method).parameters) | _SUPPLIED_BY_THE_PROXY
        for predicate in predicates:
            unknown = set(names_of(predicate)) - available if predicate else set()
            if unknown:
                raise TypeError(f"{method.__qualname__} has no parameter {sorted(unknown)}")
        method.__clauses__ = (make(), *clauses_of(method))  # type: ignore[attr-defined]
        return method

    return decorate
