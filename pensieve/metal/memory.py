"""The memory of MLX's device, as MLX's own allocator measures it (S3, S7).

Figures come from `mlx.core.get_active_memory`, `get_peak_memory` and `get_cache_memory`. The process's memory is never
wired: that has been tied to kernel panics (MLX issue 3186).
"""

from __future__ import annotations

import threading

import mlx.core as mx

from contracts.memory import CompiledKernel
from contracts.vocabulary import BufferUsage, KernelSource, MemoryUsage
from pensieve.metal.kernels import compile_kernel
from pensieve.metal.ledger import Ledger


class DeviceMemory(Ledger):
    """A ledger whose usage is measured. Implements `contracts.memory.MetalResourceManager`."""

    def __init__(self, capacity_bytes: int) -> None:
        super().__init__(capacity_bytes)
        self._kernels: dict[KernelSource, CompiledKernel] = {}
        self._kernels_lock = threading.Lock()
        self.measured_kv_cache_bytes = 0
        """Set by the generation loop after each change of its batch: only its thread may look into a cache."""
        self.measured_stored_bytes = 0
        """Set as the KV store changes."""

    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        with self._kernels_lock:
            if source not in self._kernels:
                self._kernels[source] = compile_kernel(source)
            return self._kernels[source]

    def usage(self) -> MemoryUsage:
        """Weights as reserved when they were measured at load; KV as it was measured; the rest is activations."""
        active = mx.get_active_memory()
        weights = min(self.reserved_bytes(BufferUsage.MODEL_WEIGHTS), active)
        stored = min(self.measured_stored_bytes, active - weights)
        kv_cache = min(self.measured_kv_cache_bytes, active - weights - stored)
        return MemoryUsage(
            model_weights_bytes=weights,
            kv_cache_bytes=kv_cache,
            activation_bytes=active - weights - stored - kv_cache,
            total_bytes=active,
            peak_bytes=max(mx.get_peak_memory(), active),
            capacity_bytes=self.capacity_bytes,
            stored_prompts_bytes=stored,
        )

    def reclaim(self) -> int:
        before = mx.get_cache_memory()
        mx.clear_cache()
        return max(0, before - mx.get_cache_memory())
