"""Promises: clauses of a Protocol that span several calls, so that no single method can carry them.

Their ids are like those of other clauses, from 20 on, and a broken promise raises ContractViolation as well. The other
modules of `contracts.checks` define them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import ParamSpec

from contracts.clauses import IMPLEMENTATION, Clause, ContractViolation
from contracts.values.vocabulary import ErrorKind

P = ParamSpec("P")

_POLL_SECONDS = 0.01


def promise(clause_id: str, sentence: str) -> Clause:
    return Clause(clause_id, sentence, IMPLEMENTATION)


def expect(clause: Clause, holds: bool, detail: str = "") -> None:  # noqa: FBT001 - a condition, as in assert
    """Raise ContractViolation unless `holds`."""
    if not holds:
        raise ContractViolation(clause, detail)


@contextmanager
def promised(clause: Clause) -> Iterator[None]:
    """Any error within the block breaks the promise."""
    try:
        yield
    except ContractViolation:
        raise
    except Exception as error:
        raise ContractViolation(clause, f"{type(error).__name__} was raised") from error


@asynccontextmanager
async def promised_within(clause: Clause, seconds: float) -> AsyncIterator[None]:
    """Like `promised`, and taking more than `seconds` breaks the promise as well."""
    with promised(clause):
        async with asyncio.timeout(seconds):
            yield


def expect_refusal(
    clause: Clause, kind: ErrorKind, call: Callable[P, object], *args: P.args, **kwargs: P.kwargs
) -> None:
    """Raise ContractViolation unless the call raises an error of `kind`."""
    try:
        call(*args, **kwargs)
    except Exception as error:
        _judge_refusal(clause, kind, error)
    else:
        raise ContractViolation(clause, "it was not refused")


async def expect_refusal_async(
    clause: Clause, kind: ErrorKind, call: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs
) -> None:
    """The same for a call that is awaited."""
    try:
        await call(*args, **kwargs)
    except Exception as error:
        _judge_refusal(clause, kind, error)
    else:
        raise ContractViolation(clause, "it was not refused")


async def provoke(call: Callable[P, Awaitable[object]], *args: P.args, **kwargs: P.kwargs) -> None:
    """Make a call that should or may fail. The clauses around the implementation judge whether and how it does."""
    try:
        await call(*args, **kwargs)
    except ContractViolation:
        raise
    except Exception:
        return


async def settles(holds: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Whether `holds` becomes true within `seconds`: memory, for example, is only freed between two steps."""
    now = asyncio.get_running_loop().time
    deadline = now() + seconds
    while not await holds():
        if now() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True


def _judge_refusal(clause: Clause, kind: ErrorKind, error: Exception) -> None:
    if isinstance(error, ContractViolation):
        raise error
    if getattr(error, "kind", None) is not kind:
        raise ContractViolation(clause, f"{type(error).__name__} was raised instead of {kind.value}") from error
