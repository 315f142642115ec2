"""A stream held to `contracts.streams.message_stream`, clause by clause.

The monitor stops at the first clause that is broken. A server that is judged wants to hear of each one it breaks,
and not to fail nine scenarios over one fault: so after a violation the monitor goes on from where the event belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from contracts.clauses import ContractViolation
from contracts.streams.message_stream import BLOCK_START, ORDER, TRANSITIONS, StreamMonitor, StreamState

_PLACE_BEFORE: Mapping[str, StreamState] = {kind: before for (before, kind) in TRANSITIONS if kind != "ping"}
_PLACE_AFTER: Mapping[str, StreamState] = {kind: after for (_, kind), after in TRANSITIONS.items() if kind != "ping"}
"""An event other than ping leads to one place, wherever it stands. A ping leads nowhere."""


def violations(events: Iterable[Mapping[str, Any]]) -> list[ContractViolation]:
    """Every violation in the stream, in order."""
    monitor = StreamMonitor()
    found = [violation for event in events for violation in _violations_of(event, monitor)]
    try:
        monitor.finish()
    except ContractViolation as violation:
        found.append(violation)
    return found


def _violations_of(event: Mapping[str, Any], monitor: StreamMonitor) -> Iterator[ContractViolation]:
    kind = str(event.get("type"))
    try:
        monitor.see(event)
    except ContractViolation as violation:
        yield violation
        if violation.clause is ORDER and kind in _PLACE_BEFORE:
            monitor.state = _PLACE_BEFORE[kind]
            yield from _violations_of(event, monitor)  # what it says is judged all the same
            return
        monitor.state = _PLACE_AFTER.get(kind, monitor.state)
        if violation.clause is BLOCK_START:  # its number was right: the block is open
            monitor.num_blocks += 1
