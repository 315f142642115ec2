"""Clauses: numbered sentences of a contract that can be run.

A method or property of a Protocol carries its clauses as data (`clauses_of`); `contracts.checked` runs them around any
implementation. There are five kinds:

    requires       what the caller owes before the call
    ensures        what the implementation owes when it returns (its result, and its state before and after)
    yields         what an async iterator owes, item by item and at its end
    refuses        when the implementation must raise, and which error
    raises_only    which errors may leave at all

A violation names the clause and quotes its sentence. It never shows an argument: a prompt is the user's own.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from contracts.values.vocabulary import Clause, ErrorKind

F = TypeVar("F", bound=Callable[..., Any])

CALLER, IMPLEMENTATION = "caller", "implementation"


class ContractViolation(AssertionError):  # noqa: N818 - what it is, as one says it
    """A clause did not hold. `clause` has its id, its sentence and whom it blames."""

    def __init__(self, clause: Clause, detail: str = "") -> None:
        super().__init__(f"{clause.id} ({clause.blames}): {clause.sentence}" + (f" [{detail}]" if detail else ""))
        self.clause = clause


class ItemMonitor(Protocol):
    """Watches one stream. Both methods raise ContractViolation; `see` is O(1) in the items seen before."""

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
    """The caller owes `holds`, a predicate whose parameters are named like the method's own (or `self`)."""
    return _attach(lambda: Requires(Clause(clause_id, sentence, CALLER), holds), holds)


def ensures(
    clause_id: str, sentence: str, holds: Callable[..., bool], *, before: Callable[..., Any] | None = None
) -> Callable[[F], F]:
    """The implementation owes `holds`, which may also name `result` and `old` (what `before` gave before the call)."""
    return _attach(lambda: Ensures(Clause(clause_id, sentence, IMPLEMENTATION), holds, before), holds, before)


def yields(clause_id: str, sentence: str, monitor: Callable[..., ItemMonitor]) -> Callable[[F], F]:
    """Every item of the iterator that the method returns is shown to a fresh `monitor(...)`, then its end is."""
    return _attach(lambda: Yields(Clause(clause_id, sentence, IMPLEMENTATION), monitor), monitor)


def refuses(
    clause_id: str, sentence: str, when: Callable[..., bool], kind: ErrorKind, field: str | None = None
) -> Callable[[F], F]:
    """When `when` holds, the call must raise an error of `kind` that names `field`; for an iterator, before an item."""
    return _attach(lambda: Refuses(Clause(clause_id, sentence, IMPLEMENTATION), when, kind, field), when)


def raises_only(clause_id: str, sentence: str, *kinds: ErrorKind) -> Callable[[F], F]:
    """No error leaves the method but those with one of these kinds (cancellation aside)."""
    return _attach(lambda: RaisesOnly(Clause(clause_id, sentence, IMPLEMENTATION), frozenset(kinds)))


def clauses_of(member: object) -> tuple[AnyClause, ...]:
    """The clauses of a Protocol's method or property, in the order in which they are written."""
    function = member.fget if isinstance(member, property) else member
    return getattr(function, "__clauses__", ())


def all_clauses(protocol: type) -> Mapping[str, Clause]:
    """Every clause of a Protocol by its id, those that it inherits included.

    Raises:
        ValueError: two clauses share an id.
    """
    members: dict[str, object] = {}
    for base in reversed(protocol.__mro__):
        members |= vars(base)
    found: dict[str, Clause] = {}
    for member in members.values():
        for entry in clauses_of(member):
            if entry.clause.id in found:
                raise ValueError(f"{protocol.__name__} has two clauses {entry.clause.id}")
            found[entry.clause.id] = entry.clause
    return found


def names_of(predicate: Callable[..., Any]) -> tuple[str, ...]:
    """The parameters a predicate asks for."""
    return tuple(inspect.signature(predicate).parameters)


_GIVEN_BY_THE_PROXY = {"result", "old"}


def _attach(make: Callable[[], AnyClause], *predicates: Callable[..., Any] | None) -> Callable[[F], F]:
    def decorate(method: F) -> F:
        known = set(inspect.signature(method).parameters) | _GIVEN_BY_THE_PROXY
        for predicate in predicates:
            unknown = set(names_of(predicate)) - known if predicate else set()
            if unknown:
                raise TypeError(f"{method.__qualname__} has no parameter {sorted(unknown)}")
        method.__clauses__ = (make(), *clauses_of(method))  # type: ignore[attr-defined]
        return method

    return decorate
