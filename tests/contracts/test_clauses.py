"""Clauses as data: how they are attached, listed and quoted."""

from __future__ import annotations

from typing import Protocol

import pytest

from contracts.clauses import (
    CALLER,
    IMPLEMENTATION,
    Clause,
    ContractViolation,
    Ensures,
    RaisesOnly,
    Refuses,
    Requires,
    clauses_of,
    ensures,
    raises_only,
    refuses,
    requires,
)
from contracts.protocols.inference import InferenceModel
from contracts.protocols.memory import MetalResourceManager
from contracts.protocols.models import ModelManager
from contracts.protocols.performance import PerformanceMonitor
from contracts.protocols.requests import RequestHandler
from contracts.streams.message_stream import STREAM_CLAUSES
from contracts.values.vocabulary import ErrorKind
from tests.contracts.all_clauses import all_clauses

PROTOCOLS = (InferenceModel, ModelManager, MetalResourceManager, PerformanceMonitor, RequestHandler)


class Bookshelf(Protocol):
    @requires("SH-1", "a book has a name", lambda name: name != "")
    @ensures("SH-2", "the book is there", lambda self, name: name in self.names)
    @refuses("SH-3", "a full shelf refuses", lambda self: len(self.names) > 9, ErrorKind.OVERLOADED)
    @raises_only("SH-4", "only when full", ErrorKind.OVERLOADED)
    def put(self, name: str) -> None: ...

    @property
    @ensures("SH-5", "names are text", lambda result: all(isinstance(name, str) for name in result))
    def names(self) -> tuple[str, ...]: ...


class LockedBookshelf(Bookshelf, Protocol):
    @ensures("SH-6", "it is locked or not", lambda result: isinstance(result, bool))
    def is_locked(self) -> bool: ...


def test_clauses_are_in_source_order() -> None:
    kinds = [type(entry) for entry in clauses_of(Bookshelf.put)]
    assert kinds == [Requires, Ensures, Refuses, RaisesOnly]


def test_only_requires_blames_the_caller() -> None:
    blamed = {entry.clause.id: entry.clause.blames for entry in clauses_of(Bookshelf.put)}
    assert blamed == {"SH-1": CALLER, "SH-2": IMPLEMENTATION, "SH-3": IMPLEMENTATION, "SH-4": IMPLEMENTATION}


def test_a_property_carries_clauses_like_a_method() -> None:
    assert [entry.clause.id for entry in clauses_of(Bookshelf.names)] == ["SH-5"]


def test_a_function_without_clauses_has_none() -> None:
    assert clauses_of(print) == clauses_of(None) == ()


def test_a_protocol_has_the_clauses_that_it_inherits() -> None:
    assert list(all_clauses(LockedBookshelf)) == ["SH-1", "SH-2", "SH-3", "SH-4", "SH-5", "SH-6"]


def test_two_clauses_with_the_same_id_are_refused() -> None:
    class Twice(Protocol):
        @raises_only("TW-1", "never")
        def one(self) -> None: ...

        @raises_only("TW-1", "nor here")
        def two(self) -> None: ...

    with pytest.raises(ValueError, match="Twice has two clauses TW-1"):
        all_clauses(Twice)


def test_a_predicate_with_an_unknown_parameter_is_refused_at_definition() -> None:
    def lend(reader: str) -> None: ...

    with pytest.raises(TypeError, match=r"lend has no parameter \['name'\]"):
        requires("LE-1", "a reader has a name", lambda name: name != "")(lend)


def test_a_violation_quotes_its_clause_and_names_the_side_that_broke_it() -> None:
    violation = ContractViolation(Clause("AB-1", "two and two are four", IMPLEMENTATION), "five")
    assert str(violation) == "AB-1 (implementation): two and two are four [five]"
    assert violation.clause.id == "AB-1"
    assert isinstance(violation, AssertionError)


def test_no_two_contracts_share_a_clause_id() -> None:
    ids = [clause.id for protocol in PROTOCOLS for clause in all_clauses(protocol).values()]
    ids += [clause.id for clause in STREAM_CLAUSES]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.__name__)
def test_the_clauses_of_a_contract_are_numbered_without_a_gap(protocol: type) -> None:
    numbers = [int(clause_id.split("-")[1]) for clause_id in all_clauses(protocol)]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
