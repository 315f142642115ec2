"""`checked(Protocol, implementation)`: the implementation, with every clause of the Protocol run around it.

The proxy knows nothing of any one Protocol: it reads the clauses off its members. Nothing of it is in the way of
an implementation that is not wrapped, so production pays nothing unless it asks for `--checked`.

Predicates see the implementation itself as `self`, never the proxy, so a clause cannot set off another one.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from contracts.clauses import (
    AnyClause,
    ContractViolation,
    Ensures,
    ItemMonitor,
    RaisesOnly,
    Refuses,
    Requires,
    Yields,
    clauses_of,
    names_of,
)

P = TypeVar("P")


def checked(protocol: type[P], implementation: P) -> P:
    """Wrap `implementation` so that a broken clause raises ContractViolation where it happens."""
    return cast(P, _Checked(protocol, implementation))


class _Checked:
    """Attributes go through; methods and properties that carry clauses go through guarded."""

    def __init__(self, protocol: type, implementation: object) -> None:
        self._protocol = protocol
        self._implementation = implementation

    def __getattr__(self, name: str) -> Any:
        declared = getattr(self._protocol, name, None)
        entries = clauses_of(declared)
        if not entries:
            return getattr(self._implementation, name)
        if isinstance(declared, property):
            owner = self._implementation
            return _Guarded(entries, cast(Any, declared.fget), owner, lambda: getattr(owner, name))()
        return _Guarded(entries, cast(Any, declared), self._implementation, getattr(self._implementation, name))


@dataclass(frozen=True, slots=True)
class _Before:
    """What was so before the call. A refusal is due by the state of then: the call itself may change it."""

    given: dict[str, Any]
    olds: dict[int, Any]
    due: tuple[Refuses, ...]


class _Guarded:
    """One guarded method: binds arguments by name and runs the clauses before, around and after.

    What comes back decides how it is followed, so it does not matter how an implementation spells its method: a
    plain function may return an awaitable or an async generator.
    """

    def __init__(
        self, entries: Iterable[AnyClause], declared: Callable[..., Any], owner: object, method: Callable[..., Any]
    ) -> None:
        self._entries = tuple(entries)
        self._signature = inspect.signature(declared)
        self._owner = owner
        self._method = method

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        before = self._enter(args, kwargs)
        with self._errors_judged(before):
            result = self._method(*args, **kwargs)
        if inspect.isasyncgen(result) or any(isinstance(entry, Yields) for entry in self._entries):
            return self._followed(before, result)
        if inspect.isawaitable(result):
            return self._awaited(before, result)
        return self._left(before, result)

    async def _awaited(self, before: _Before, result: Awaitable[Any]) -> Any:
        with self._errors_judged(before):
            value = await result
        return self._left(before, value)

    async def _followed(self, before: _Before, items: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        watches = [entry for entry in self._entries if isinstance(entry, Yields)]
        _expect_async_generator(items, watches)
        monitors: list[ItemMonitor] = [self._ask(watch.monitor, before.given) for watch in watches]
        is_first = True
        with self._errors_judged(before):
            async with aclosing(items):
                async for item in items:
                    if is_first:
                        _judge_refusals(before)
                        is_first = False
                    for monitor in monitors:
                        monitor.see(item)
                    yield item
        if is_first:
            _judge_refusals(before)
        for monitor in monitors:
            monitor.finish()

    def _enter(self, args: Any, kwargs: Any) -> _Before:
        bound = self._signature.bind(self._owner, *args, **kwargs)
        bound.apply_defaults()
        given = dict(bound.arguments)
        for entry in self._entries:
            if isinstance(entry, Requires) and not self._ask(entry.holds, given):
                raise ContractViolation(entry.clause)
        olds = {
            number: self._ask(entry.before, given)
            for number, entry in enumerate(self._entries)
            if isinstance(entry, Ensures) and entry.before is not None
        }
        due = tuple(entry for entry in self._entries if isinstance(entry, Refuses) and self._ask(entry.when, given))
        return _Before(given, olds, due)

    def _left(self, before: _Before, result: Any) -> Any:
        _judge_refusals(before)
        for number, entry in enumerate(self._entries):
            if isinstance(entry, Ensures):
                self._judge_result(entry, {**before.given, "result": result, "old": before.olds.get(number)})
        return result

    def _judge_result(self, entry: Ensures, given: dict[str, Any]) -> None:
        """A result of the wrong form cannot even be asked about; that breaks the clause as well."""
        try:
            holds = self._ask(entry.holds, given)
        except Exception as error:
            raise ContractViolation(entry.clause, f"asking ended in {type(error).__name__}") from error
        if not holds:
            raise ContractViolation(entry.clause)

    @contextmanager
    def _errors_judged(self, before: _Before) -> Iterator[None]:
        """Cancellation and closing are no errors, and go through: they are no `Exception`s."""
        try:
            yield
        except ContractViolation:
            raise
        except Exception as error:
            self._judge_error(error, before)
            raise

    def _judge_error(self, error: Exception, before: _Before) -> None:
        """An error left the call: it must be one that the contract knows, and the right one where one is due."""
        kind, field = getattr(error, "kind", None), getattr(error, "field", None)
        for entry in self._entries:
            if isinstance(entry, RaisesOnly) and kind not in entry.kinds:
                raise ContractViolation(entry.clause, f"{type(error).__name__} left it") from error
        due = before.due
        if due and not any(kind is entry.kind and entry.field in (None, field) for entry in due):
            raise ContractViolation(due[0].clause, f"{type(error).__name__} was raised instead") from error

    @staticmethod
    def _ask(predicate: Callable[..., Any], given: dict[str, Any]) -> Any:
        return predicate(*(given[name] for name in names_of(predicate)))


def _judge_refusals(before: _Before) -> None:
    """The call went through: nothing that had to be refused may have been asked for."""
    if before.due:
        raise ContractViolation(before.due[0].clause, "it was not refused")


def _expect_async_generator(items: object, watches: list[Yields]) -> None:
    """`async def` without a `yield` gives a coroutine: the commonest way to get this wrong."""
    if hasattr(items, "__aiter__") and hasattr(items, "aclose"):
        return
    if inspect.iscoroutine(items):
        items.close()
    raise ContractViolation(watches[0].clause, f"{type(items).__name__} came back, and no async generator")
