"""Every clause of a Protocol, for tests that compare clauses with the implementations that break them."""

from __future__ import annotations

from collections.abc import Mapping

from contracts.clauses import Clause, clauses_of


def all_clauses(protocol: type) -> Mapping[str, Clause]:
    """A Protocol's clauses by id, including inherited ones.

    Raises:
        ValueError: two clauses share an id.
    """
    members: dict[str, object] = {}
    for base in reversed(protocol.__mro__):
        members |= vars(base)
    clauses: dict[str, Clause] = {}
    for member in members.values():
        for entry in clauses_of(member):
            if entry.clause.id in clauses:
                raise ValueError(f"{protocol.__name__} has two clauses {entry.clause.id}")
            clauses[entry.clause.id] = entry.clause
    return clauses
