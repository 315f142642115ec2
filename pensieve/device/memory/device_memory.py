"""The memory of MLX's device, as MLX's own allocator measures it (S3, S7).

The figures are `mlx.core.get_active_memory`, `get_peak_memory` and `get_cache_memory`. The process's memory is never
wired, which has been linked to kernel panics (ml-explore/mlx issue 3186).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import mlx.core as mx
import psutil

from contracts.protocols.memory import CompiledKernel
from contracts.values.vocabulary import BufferUsage, KernelSource, MemoryUsage, Reservation
from pensieve.device.device import device_info
from pensieve.device.kernels import compile_kernel
from pensieve.device.memory.ledger import Ledger, spare_buffers_bytes

HIGH_SHARE: Final = 0.80
"""Above this share of the limit, unused memory is released (S7)."""
_MIN_AVAILABLE_SHARE: Final = 0.03
_MACHINE_CHECK_SECONDS: Final = 0.25


@dataclass(slots=True)
class Peak:
    """`bytes` is the peak of MLX's memory, set when the measurement ends."""

    bytes: int = 0


class DeviceMemory(Ledger):
    """A ledger with measured usage. Implements `contracts.protocols.memory.MetalResourceManager`."""

    def __init__(self, capacity_bytes: int, *, counts_process: bool = False) -> None:
        super().__init__(capacity_bytes)
        self._counts_process = counts_process
        self._earlier_peak_bytes = 0
        self._held_peak_bytes = 0
        self._for_process: Reservation | None = None
        self._libraries_bytes = 0
        self._machine_checked_at, self._machine_is_short = -_MACHINE_CHECK_SECONDS, False
        self._kernels: dict[KernelSource, CompiledKernel] = {}
        self._kernels_lock = threading.Lock()
        self._measured: dict[tuple[int, BufferUsage], int] = {}

    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        with self._kernels_lock:
            if source not in self._kernels:
                self._kernels[source] = compile_kernel(source)
            return self._kernels[source]

    def note_measured(self, owner: object, usage: BufferUsage, num_bytes: int) -> None:
        """Record the bytes that `owner` holds for `usage`. Only the thread that owns the arrays can measure them."""
        held = mx.get_active_memory() + mx.get_cache_memory()  # MLX's own peak leaves out the buffers that it keeps
        with self._lock:
            self._held_peak_bytes = max(self._held_peak_bytes, held)
            if num_bytes:
                self._measured[id(owner), usage] = num_bytes
            else:
                self._measured.pop((id(owner), usage), None)

    def _measured_bytes(self, usage: BufferUsage) -> int:
        with self._lock:
            return sum(num_bytes for (_, of), num_bytes in self._measured.items() if of is usage)

    def usage(self) -> MemoryUsage:
        """Weights as reserved at load, KV as last measured, and the rest as activations."""
        active = mx.get_active_memory()
        weights = min(self.reserved_bytes(BufferUsage.MODEL_WEIGHTS), active)
        stored = min(self._measured_bytes(BufferUsage.STORED_PROMPTS), active - weights)
        kv_cache = min(self._measured_bytes(BufferUsage.KV_CACHE), active - weights - stored)
        return MemoryUsage(
            model_weights_bytes=weights,
            kv_cache_bytes=kv_cache,
            activation_bytes=active - weights - stored - kv_cache,
            total_bytes=active,
            peak_bytes=max(self._earlier_peak_bytes, self._held_peak_bytes, mx.get_peak_memory(), active),
            capacity_bytes=self.capacity_bytes,
            stored_prompts_bytes=stored,
        )

    def reclaim(self) -> int:
        before = mx.get_cache_memory()
        mx.clear_cache()
        self._machine_checked_at = -_MACHINE_CHECK_SECONDS  # the released memory may end a shortage
        return max(0, before - mx.get_cache_memory())

    @property
    def in_use_bytes(self) -> int:
        """MLX's arrays, its buffer cache, and the process's libraries if they are reserved."""
        return int(mx.get_active_memory() + mx.get_cache_memory()) + self._libraries_bytes

    @property
    def lasting_bytes(self) -> int:
        """What is reserved while models are loaded: weights and memory for prefill."""
        return (
            self.reserved_bytes()
            - self.reserved_bytes(BufferUsage.KV_CACHE)
            - self.reserved_bytes(BufferUsage.STORED_PROMPTS)
        )

    def watermark_bytes(self, share: float) -> int:
        """That share of the limit, or more if lasting memory takes most of the limit.

        In that case it is a share of the rest: 80 % of the limit is half of the rest if lasting memory takes 60 %.
        """
        lasting = self.lasting_bytes
        return int(max(share * self.capacity_bytes, lasting + (2.5 * share - 1.5) * (self.capacity_bytes - lasting)))

    @property
    def machine_is_short(self) -> bool:
        """Whether the whole machine is almost out of memory, whatever process uses it.

        Checked at most every quarter of a second, because the check takes about a hundredth of a decode step.
        """
        if self._for_process is None:
            return False
        now = time.monotonic()
        if now >= self._machine_checked_at + _MACHINE_CHECK_SECONDS:
            self._machine_checked_at = now
            with contextlib.suppress(OSError):  # reading /proc takes a file descriptor, and none may be left
                machine = psutil.virtual_memory()
                self._machine_is_short = bool(machine.available < _MIN_AVAILABLE_SHARE * machine.total)
        return self._machine_is_short

    @property
    def is_quiet(self) -> bool:
        """Whether no request holds memory, so that a measurement is not disturbed."""
        return not self.reserved_bytes(BufferUsage.KV_CACHE)

    @contextmanager
    def measured_peak(self) -> Iterator[Peak]:
        """Measure the peak of MLX's memory within the block. The peak of the whole process is preserved."""
        peak = Peak()
        self._earlier_peak_bytes = max(self._earlier_peak_bytes, mx.get_peak_memory())
        mx.reset_peak_memory()
        try:
            yield peak
        finally:
            peak.bytes = int(mx.get_peak_memory())

    def reserve_on_host(self, num_bytes: int, usage: BufferUsage) -> Reservation | None:
        """Reserve for what lies in the host's memory. None on a GPU with its own memory: it takes nothing of that.

        Raises:
            InsufficientMemoryError: it does not fit.
        """
        return None if device_info().backend == "cuda" else self.reserve(num_bytes, usage)

    def reserve_for_process(self) -> None:
        """Reserve, once, what the process takes besides MLX's arrays: its libraries and MLX's buffer cache.

        Call this after the libraries are loaded. No effect unless `counts_process`. A GPU with its own memory holds no
        libraries.

        Raises:
            InsufficientMemoryError: the process alone exceeds the limit.
        """
        if self._counts_process and self._for_process is None:
            cached = spare_buffers_bytes(self.capacity_bytes)
            libraries = self._library_bytes()
            self._for_process = self.reserve(cached + libraries, BufferUsage.TEMPORARY)
            self._libraries_bytes = libraries
            mx.set_cache_limit(cached)

    def _library_bytes(self) -> int:
        if device_info().backend == "cuda":
            return 0
        arrays = self.in_use_bytes if device_info().backend == "cpu" else 0  # Metal's are not resident
        return max(0, int(psutil.Process().memory_info().rss) - arrays)
