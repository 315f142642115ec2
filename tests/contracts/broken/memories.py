"""Memory managers that are wrong in one way each."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from contracts.protocols.memory import CompiledKernel
from contracts.values.vocabulary import BufferUsage, KernelSource, MemoryUsage, Reservation
from pensieve.core.errors import InsufficientMemoryError
from tests.contracts.broken.register import Broken
from tests.contracts.in_memory.parts import CAPACITY_BYTES, InMemoryMemory

broken = Broken[InMemoryMemory]()


@broken.by("MR-2")
class RefusesNothing(InMemoryMemory):
    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        reservation = Reservation(next(self.numbers), num_bytes, usage)
        self.held[reservation.number] = reservation
        return reservation


@broken.by("MR-3")
class ReservesForAnotherPurpose(InMemoryMemory):
    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        return replace(super().reserve(num_bytes, usage), usage=BufferUsage.ACTIVATION)


@broken.by("MR-4")
class RoundsUp(InMemoryMemory):
    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        return -(-super().reserved_bytes(usage) // 512) * 512


@broken.by("MR-5")
class RunsOutOfMemory(InMemoryMemory):
    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        try:
            return super().reserve(num_bytes, usage)
        except InsufficientMemoryError as error:
            raise MemoryError from error


@broken.by("MR-7")
class HoldsReleasedReservations(InMemoryMemory):
    def __init__(self) -> None:
        super().__init__()
        self.ever_held: set[int] = set()

    def holds(self, reservation: Reservation) -> bool:
        self.ever_held |= self.held.keys()
        return reservation.number in self.ever_held


@broken.by("MR-8")
class ReleasesTooLittle(InMemoryMemory):
    kept_bytes = 0

    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        return super().reserved_bytes(usage) + self.kept_bytes

    def release(self, reservation: Reservation) -> None:
        super().release(reservation)
        self.kept_bytes += 1


@broken.by("MR-9")
class ReleasingCrashes(InMemoryMemory):
    def release(self, reservation: Reservation) -> None:
        raise BufferError(reservation.number)


@broken.by("MR-11")
class CompilesToNothing(InMemoryMemory):
    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        return source.body  # type: ignore[return-value]


@broken.by("MR-12")
class CompilingCrashes(InMemoryMemory):
    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        raise SyntaxError(source.name)


@broken.by("MR-13")
class HasNoPeak(InMemoryMemory):
    def usage(self) -> MemoryUsage:
        return replace(super().usage(), peak_bytes=0)


@broken.by("MR-13")
class ReportsAnotherCapacity(InMemoryMemory):
    def usage(self) -> MemoryUsage:
        return replace(super().usage(), capacity_bytes=1)


@broken.by("MR-14")
class ReclaimsNegativeBytes(InMemoryMemory):
    def reclaim(self) -> int:
        return -1


@broken.by("MR-20")
class CountsRefusals(InMemoryMemory):
    refused_bytes = 0

    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        return super().reserved_bytes(usage) + self.refused_bytes

    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        try:
            return super().reserve(num_bytes, usage)
        except InsufficientMemoryError:
            self.refused_bytes += 1
            raise


@broken.by("MR-21")
class KeepsTheLastByte(InMemoryMemory):
    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        if num_bytes == CAPACITY_BYTES:
            raise InsufficientMemoryError(usage.value, num_bytes, CAPACITY_BYTES - 1)
        return super().reserve(num_bytes, usage)


@broken.by("MR-22")
class ForgetsAPurpose(InMemoryMemory):
    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        forgotten = 0 if usage else super().reserved_bytes(BufferUsage.TEMPORARY)
        return super().reserved_bytes(usage) - forgotten


@broken.by("MR-23")
class NumbersNoReservations(InMemoryMemory):
    """Keeps only sums, so that two reservations with the same size and purpose are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = dict.fromkeys(BufferUsage, 0)

    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        return self.sums[usage] if usage else sum(self.sums.values())

    def holds(self, reservation: Reservation) -> bool:
        return self.sums[reservation.usage] >= reservation.num_bytes

    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        super().release(super().reserve(num_bytes, usage))
        self.sums[usage] += num_bytes
        return Reservation(0, num_bytes, usage)

    def release(self, reservation: Reservation) -> None:
        self.sums[reservation.usage] -= reservation.num_bytes


@broken.by("MR-24")
class CompilesAgain(InMemoryMemory):
    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        self.kernels.clear()
        return super().compile_kernel(source)


@broken.by("MR-25")
class ReclaimsTooMuch(InMemoryMemory):
    def reclaim(self) -> int:
        freed = self.reserved_bytes()
        self.held.clear()
        return freed


@broken.by("MR-26")
class ServesOnlyItsOwnThread(InMemoryMemory):
    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        if threading.get_ident() != self.thread:
            raise RuntimeError
        return super().reserve(num_bytes, usage)


@broken.by("MR-26")
class ChecksWithoutALock(InMemoryMemory):
    """Another thread may reserve between the check and the reservation."""

    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        available = self.capacity_bytes - self.reserved_bytes()
        time.sleep(0.01)
        if num_bytes > available:
            raise InsufficientMemoryError(usage.value, num_bytes, available)
        reservation = Reservation(next(self.numbers), num_bytes, usage)
        self.held[reservation.number] = reservation
        return reservation
