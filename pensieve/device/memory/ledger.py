"""Memory that is reserved before it is used (S7, S13): the bookkeeping half of MetalResourceManager.

It needs no device, so engines without one can use it too.
"""

from __future__ import annotations

import itertools
import threading
from typing import Final

from contracts.protocols.memory import CompiledKernel
from contracts.values.vocabulary import BufferUsage, KernelSource, MemoryUsage, Reservation
from pensieve.core.errors import DeviceError, InsufficientMemoryError

_MIN_SPARE_BYTES: Final = 64 * 1000**2
_MAX_SPARE_BYTES: Final = 512 * 1000**2
_SPARE_SHARE: Final = 1 / 24
_MAX_REQUEST_BYTES: Final = 256 * 1000**2
_REQUEST_SHARE: Final = 1 / 32


def spare_buffers_bytes(capacity_bytes: int) -> int:
    """The limit of MLX's cache of free buffers."""
    return int(min(_MAX_SPARE_BYTES, max(_MIN_SPARE_BYTES, _SPARE_SHARE * capacity_bytes)))


def request_bytes(capacity_bytes: int) -> int:
    """What is set aside for the bodies and prompts of all requests, besides their KV."""
    return int(min(_MAX_REQUEST_BYTES, _REQUEST_SHARE * capacity_bytes))


class Ledger:
    """Reservations under one capacity. Thread-safe. Implements `MetalResourceManager`."""

    def __init__(self, capacity_bytes: int) -> None:
        if capacity_bytes <= 0:
            raise ValueError("capacity_bytes must be positive")
        self.capacity_bytes = capacity_bytes
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._held: dict[int, Reservation] = {}
        self._sums = dict.fromkeys(BufferUsage, 0)
        self._peak_bytes = 0

    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        with self._lock:
            return self._sums[usage] if usage else sum(self._sums.values())

    @property
    def peak_reserved_bytes(self) -> int:
        """The peak of all reservations together."""
        with self._lock:
            return self._peak_bytes

    def holds(self, reservation: Reservation) -> bool:
        with self._lock:
            return self._held.get(reservation.number) is reservation

    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        with self._lock:
            available = self.capacity_bytes - sum(self._sums.values())
            if num_bytes > available:
                raise InsufficientMemoryError(usage.value.replace("_", " "), num_bytes, available)
            reservation = Reservation(next(self._numbers), num_bytes, usage)
            self._held[reservation.number] = reservation
            self._sums[usage] += num_bytes
            self._peak_bytes = max(self._peak_bytes, sum(self._sums.values()))
            return reservation

    def release(self, reservation: Reservation) -> None:
        with self._lock:
            if self._held.pop(reservation.number, None) is not None:
                self._sums[reservation.usage] -= reservation.num_bytes

    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        raise DeviceError(f"kernel {source.name} needs a GPU, but this engine runs without one")

    def usage(self) -> MemoryUsage:
        """The reservations, since there is no device to measure."""
        with self._lock:
            sums = dict(self._sums)
            return MemoryUsage(
                model_weights_bytes=sums[BufferUsage.MODEL_WEIGHTS],
                kv_cache_bytes=sums[BufferUsage.KV_CACHE],
                activation_bytes=sums[BufferUsage.ACTIVATION],
                total_bytes=sum(sums.values()),
                peak_bytes=self._peak_bytes,
                capacity_bytes=self.capacity_bytes,
                stored_prompts_bytes=sums[BufferUsage.STORED_PROMPTS],
            )

    def reclaim(self) -> int:
        return 0
