"""`checked(Protocol, implementation)`: the implementation, with every clause of the Protocol run around it.

The proxy works for every Protocol: it reads the clauses from the Protocol's members. Unwrapped implementations are not
affected, so production pays nothing without `--checked`.

Predicates get the implementation itself as `self`, never the proxy, so one clause cannot trigger another.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from functools import cache
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
    """Wrap `implementation` so that a broken clause raises ContractViolation at the call that breaks it."""
    return cast(P, _Checked(protocol, implementation))


class _Checked:
    """Passes attributes through, and guards methods and properties that carry clauses."""

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
    """The state before the call. It decides which refusals are due, because the call itself may change the state."""

    arguments: dict[str, Any]
    olds: dict[int, Any]
    due: tuple[Refuses, ...]


class _Guarded:
    """One guarded method: binds arguments by name and runs the clauses before, during and after the call.

    The returned value decides how the call is followed, so that an implementation may also be a plain function that
    returns an awaitable or an async generator.
    """

    def __init__(
        self, entries: Iterable[AnyClause], declared: Callable[..., Any], owner: object, method: Callable[..., Any]
    ) -> None:
        self._entries = tuple(entries)
        self._signature = _signature_of(declared)
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
        return self._leave(before, result)

    async def _awaited(self, before: _Before, result: Awaitable[Any]) -> Any:
        with self._errors_judged(before):
            value = await result
        return self._leave(before, value)

    async def _followed(self, before: _Before, items: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        watches = [entry for entry in self._entries if isinstance(entry, Yields)]
        _expect_async_generator(items, watches)
        monitors: list[ItemMonitor] = [self._evaluate(watch.monitor, before.arguments) for watch in watches]
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
        arguments = dict(bound.arguments)
        for entry in self._entries:
            if isinstance(entry, Requires) and not self._evaluate(entry.holds, arguments):
                raise ContractViolation(entry.clause)
        olds = {
            number: self._evaluate(entry.before, arguments)
            for number, entry in enumerate(self._entries)
            if isinstance(entry, Ensures) and entry.before is not None
        }
        due = tuple(
            entry for entry in self._entries if isinstance(entry, Refuses) and self._evaluate(entry.when, arguments)
        )
        return _Before(arguments, olds, due)

    def _leave(self, before: _Before, result: Any) -> Any:
        _judge_refusals(before)
        for number, entry in enumerate(self._entries):
            if isinstance(entry, Ensures):
                self._judge_result(entry, {**before.arguments, "result": result, "old": before.olds.get(number)})
        return result

    def _judge_result(self, entry: Ensures, arguments: dict[str, Any]) -> None:
        """A predicate that fails on a malformed result breaks the clause as well."""
        try:
            holds = self._evaluate(entry.holds, arguments)
        except Exception as error:
            raise ContractViolation(entry.clause, f"the predicate raised {type(error).__name__}") from error
        if not holds:
            raise ContractViolation(entry.clause)

    @contextmanager
    def _errors_judged(self, before: _Before) -> Iterator[None]:
        """Cancellation and closing are not `Exception`s, so they pass through."""
        try:
            yield
        except ContractViolation:
            raise
        except Exception as error:
            self._judge_error(error, before)
            raise

    def _judge_error(self, error: Exception, before: _Before) -> None:
        """The call raised: the error must be one that the contract allows, and the right one if a refusal is due."""
        kind, field = getattr(error, "kind", None), getattr(error, "field", None)
        for entry in self._entries:
            if isinstance(entry, RaisesOnly) and kind not in entry.kinds:
                raise ContractViolation(entry.clause, f"{type(error).__name__} was raised") from error
        due = before.due
        if due and not any(kind is entry.kind and entry.field in (None, field) for entry in due):
            raise ContractViolation(due[0].clause, f"{type(error).__name__} was raised instead") from error

    @staticmethod
    def _evaluate(predicate: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        return predicate(*(arguments[name] for name in names_of(predicate)))


@cache
def _signature_of(declared: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(declared)


def _judge_refusals(before: _Before) -> None:
    """The call succeeded, so no refusal may have been due."""
    if before.due:
        raise ContractViolation(before.due[0].clause, "it was not refused")


def _expect_async_generator(items: object, watches: list[Yields]) -> None:
    """`async def` without a `yield` returns a coroutine: the most common mistake here."""
    if hasattr(items, "__aiter__") and hasattr(items, "aclose"):
        return
    if inspect.iscoroutine(items):
        items.close()
    raise ContractViolation(watches[0].clause, f"expected an async generator, got {type(items).__name__}")
