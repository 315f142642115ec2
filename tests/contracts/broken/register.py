"""A register of implementations that are wrong on purpose, each with the one clause that must catch it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Broken(Generic[T]):
    """`@broken.by("IM-1")` registers a class that breaks that clause."""

    def __init__(self) -> None:
        self._cases: list[tuple[str, type[T]]] = []

    def by(self, clause_id: str) -> Callable[[type[T]], type[T]]:
        def register(implementation: type[T]) -> type[T]:
            self._cases.append((clause_id, implementation))
            return implementation

        return register

    def __iter__(self) -> Iterator[tuple[str, type[T]]]:
        return iter(self._cases)

    @property
    def clause_ids(self) -> set[str]:
        return {clause_id for clause_id, _ in self._cases}

    @property
    def names(self) -> list[str]:
        return [f"{clause_id}-{implementation.__name__}" for clause_id, implementation in self._cases]
