"""The computed properties of the values."""

from __future__ import annotations

from contracts.values.measurements import OperationPhase
from contracts.values.vocabulary import MemoryUsage


def test_available_bytes_are_the_rest_of_the_capacity_and_never_negative() -> None:
    assert MemoryUsage(0, 0, 0, 30, 50, 100).available_bytes == 70
    assert MemoryUsage(0, 0, 0, 130, 130, 100).available_bytes == 0


def test_a_generation_ends_completed_failed_or_cancelled() -> None:
    last = {phase for phase in OperationPhase if phase.is_last}
    assert last == {OperationPhase.COMPLETED, OperationPhase.FAILED, OperationPhase.CANCELLED}
