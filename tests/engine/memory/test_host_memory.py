"""What lies in the host's memory takes nothing of a GPU's own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.values.vocabulary import BufferUsage
from pensieve.device.device import Backend, device_info
from pensieve.device.memory import device_memory
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.memory.memos import MemoSizes
from pensieve.engine.memory.plan import MemoryPlan

GB = 1_000_000_000


@pytest.mark.parametrize(("backend", "is_reserved"), [("cpu", True), ("metal", True), ("cuda", False)])
def test_memos_are_reserved_where_models_share_the_memory_with_the_process(
    backend: Backend, monkeypatch: pytest.MonkeyPatch, *, is_reserved: bool
) -> None:
    info = replace(device_info(), backend=backend)
    monkeypatch.setattr(device_memory, "device_info", lambda: info)
    memory, sizes = DeviceMemory(12 * GB), MemoSizes.within(12 * GB)
    plan = MemoryPlan(memory, GB)
    plan.add_memos(sizes)
    assert memory.reserved_bytes(BufferUsage.ACTIVATION) == is_reserved * sizes.total_bytes
    plan.release()
    assert memory.reserved_bytes() == 0
