from __future__ import annotations

import mlx.core as mx

from contracts.values.vocabulary import BufferUsage
from pensieve.device.memory.device_memory import DeviceMemory


def test_the_peak_counts_buffers_that_mlx_keeps() -> None:
    """Of 64 MB that were freed, a CPU keeps nothing, and a GPU what its limit allows."""
    memory = DeviceMemory(2**30)
    mx.eval(mx.zeros(2**24))
    memory.note_measured(memory, BufferUsage.KV_CACHE, 0)
    held = mx.get_active_memory() + mx.get_cache_memory()
    mx.reset_peak_memory()
    mx.clear_cache()
    assert memory.usage().peak_bytes >= held > 0
