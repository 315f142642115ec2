"""A stream checked against `contracts.streams.message_stream`, clause by clause.

The monitor stops at the first broken clause. A report should list every broken clause, and one fault should not fail
nine scenarios: after a violation the monitor therefore continues from the state in which the event is valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from contracts.clauses import ContractViolation
from contracts.streams.message_stream import BLOCK_START, ORDER, TRANSITIONS, StreamMonitor, StreamState

_STATE_BEFORE: Mapping[str, StreamState] = {kind: before for (before, kind) in TRANSITIONS if kind != "ping"}
_STATE_AFTER: Mapping[str, StreamState] = {kind: after for (_, kind), after in TRANSITIONS.items() if kind != "ping"}
"""Every event except ping leads to one state, whatever the state before. A ping changes no state."""


def violations(events: Iterable[Mapping[str, Any]]) -> list[ContractViolation]:
    """Every violation in the stream, in order."""
    monitor = StreamMonitor()
    broken = [violation for event in events for violation in _violations_of(event, monitor)]
    try:
        monitor.finish()
    except ContractViolation as violation:
        broken.append(violation)
    return broken


def _violations_of(event: Mapping[str, Any], monitor: StreamMonitor) -> Iterator[ContractViolation]:
    kind = str(event.get("type"))
    try:
        monitor.see(event)
    except ContractViolation as violation:
        yield violation
        if violation.clause is ORDER and kind in _STATE_BEFORE:
            monitor.state = _STATE_BEFORE[kind]
            yield from _violations_of(event, monitor)  # its content is still checked
            return
        monitor.state = _STATE_AFTER.get(kind, monitor.state)
        if violation.clause is BLOCK_START:  # its index was right, so the block is open
            monitor.num_blocks += 1
