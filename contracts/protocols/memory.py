"""MetalResourceManager: bytes promised before they are used, and kernels (S1, S7).

MLX owns the buffers themselves, so the design document's allocate_buffer and deallocate_buffer are here
`reserve` and `release` of a number of bytes for a purpose: what protects is the refusal beforehand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from contracts.clauses import ensures, raises_only, refuses, requires
from contracts.values.vocabulary import BufferUsage, ErrorKind, KernelSource, MemoryUsage, Reservation

CompiledKernel = Callable[..., Any]


class MetalResourceManager(Protocol):
    """The memory of one device, and the kernels compiled for it. Callable from any thread."""

    @property
    def capacity_bytes(self) -> int:
        """What may be reserved in all."""

    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        """What is reserved now, for one purpose or in all."""

    @property
    def peak_reserved_bytes(self) -> int:
        """The most that was reserved at once."""

    def holds(self, reservation: Reservation) -> bool:
        """Whether this reservation was given here and is not released yet."""

    @requires("MR-1", "a positive number of bytes is asked for", lambda num_bytes: num_bytes > 0)
    @refuses(
        "MR-2",
        "what exceeds the capacity is refused",
        lambda self, num_bytes: self.reserved_bytes() + num_bytes > self.capacity_bytes,
        ErrorKind.INSUFFICIENT_MEMORY,
    )
    @ensures(
        "MR-3",
        "the reservation is held, with the size and purpose asked for",
        lambda self, result, num_bytes, usage: (
            self.holds(result) and result.num_bytes == num_bytes and result.usage is usage
        ),
    )
    @ensures(
        "MR-4",
        "the figure for its purpose rises by exactly its size",
        lambda self, old, num_bytes, usage: self.reserved_bytes(usage) == old + num_bytes,
        before=lambda self, usage: self.reserved_bytes(usage),
    )
    @raises_only("MR-5", "reserving fails only for want of memory", ErrorKind.INSUFFICIENT_MEMORY)
    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        """Promise bytes for a purpose.

        Raises:
            INSUFFICIENT_MEMORY: the capacity would be passed; the message gives required and available bytes.
        """

    @requires(
        "MR-6", "a reservation is released once, where it was given", lambda self, reservation: self.holds(reservation)
    )
    @ensures("MR-7", "a released reservation is no longer held", lambda self, reservation: not self.holds(reservation))
    @ensures(
        "MR-8",
        "the figure falls by exactly its size",
        lambda self, old, reservation: self.reserved_bytes(reservation.usage) == old - reservation.num_bytes,
        before=lambda self, reservation: self.reserved_bytes(reservation.usage),
    )
    @raises_only("MR-9", "releasing cannot fail")
    def release(self, reservation: Reservation) -> None:
        """Give a reservation back."""

    @requires(
        "MR-10",
        "a kernel has a name, a body and an output",
        lambda source: bool(source.name and source.body and source.output_names),
    )
    @ensures("MR-11", "a compiled kernel can be called", lambda result: callable(result))  # noqa: PLW0108 - it is asked by the name `result`
    @raises_only("MR-12", "compiling fails only over the device", ErrorKind.DEVICE)
    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        """A kernel ready to run; the same source is compiled once.

        Raises:
            DEVICE: the device takes no kernels, or refuses this one.
        """

    @ensures(
        "MR-13",
        "usage is never over the peak, and reports the capacity",
        lambda self, result: result.total_bytes <= result.peak_bytes and result.capacity_bytes == self.capacity_bytes,
    )
    def usage(self) -> MemoryUsage:
        """Bytes in use, as the allocator measures them."""

    @ensures("MR-14", "what was freed is a number of bytes", lambda result: result >= 0)
    def reclaim(self) -> int:
        """Give buffers that are cached but unused back to the system; bytes that came free."""
