"""MetalResourceManager: bytes reserved before they are used, and kernels (S1, S7).

MLX owns the buffers themselves, so this Protocol reserves and releases numbers of bytes for a purpose: what cannot fit
is refused beforehand.
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
        """The most that can be reserved in total."""

    def reserved_bytes(self, usage: BufferUsage | None = None) -> int:
        """The bytes reserved now, for one purpose or in total."""

    @property
    def peak_reserved_bytes(self) -> int:
        """The highest total that was ever reserved at once."""

    def holds(self, reservation: Reservation) -> bool:
        """Whether this manager made the reservation and has not released it."""

    @requires("MR-1", "the number of bytes is positive", lambda num_bytes: num_bytes > 0)
    @refuses(
        "MR-2",
        "a reservation beyond the capacity is refused",
        lambda self, num_bytes: self.reserved_bytes() + num_bytes > self.capacity_bytes,
        ErrorKind.INSUFFICIENT_MEMORY,
    )
    @ensures(
        "MR-3",
        "the reservation is held, with the requested size and purpose",
        lambda self, result, num_bytes, usage: (
            self.holds(result) and result.num_bytes == num_bytes and result.usage is usage
        ),
    )
    @ensures(
        "MR-4",
        "the bytes reserved for its purpose rise by exactly its size",
        lambda self, old, num_bytes, usage: self.reserved_bytes(usage) == old + num_bytes,
        before=lambda self, usage: self.reserved_bytes(usage),
    )
    @raises_only("MR-5", "reserving fails only for lack of memory", ErrorKind.INSUFFICIENT_MEMORY)
    def reserve(self, num_bytes: int, usage: BufferUsage) -> Reservation:
        """Reserve bytes for a purpose.

        Raises:
            INSUFFICIENT_MEMORY: the capacity would be exceeded; the message has the required and the available bytes.
        """

    @requires(
        "MR-6",
        "a reservation is released once, by its own manager",
        lambda self, reservation: self.holds(reservation),
    )
    @ensures("MR-7", "a released reservation is no longer held", lambda self, reservation: not self.holds(reservation))
    @ensures(
        "MR-8",
        "the bytes reserved for its purpose fall by exactly its size",
        lambda self, old, reservation: self.reserved_bytes(reservation.usage) == old - reservation.num_bytes,
        before=lambda self, reservation: self.reserved_bytes(reservation.usage),
    )
    @raises_only("MR-9", "releasing never fails")
    def release(self, reservation: Reservation) -> None: ...

    @requires(
        "MR-10",
        "a kernel has a name, a body and an output",
        lambda source: bool(source.name and source.body and source.output_names),
    )
    @ensures("MR-11", "a compiled kernel is callable", lambda result: callable(result))  # noqa: PLW0108 - the parameter's name matters
    @raises_only("MR-12", "compiling fails only because of the device", ErrorKind.DEVICE)
    def compile_kernel(self, source: KernelSource) -> CompiledKernel:
        """A kernel that is ready to run; the same source is compiled only once.

        Raises:
            DEVICE: the device supports no kernels, or rejects this one.
        """

    @ensures(
        "MR-13",
        "usage never exceeds the peak, and reports the capacity",
        lambda self, result: result.total_bytes <= result.peak_bytes and result.capacity_bytes == self.capacity_bytes,
    )
    def usage(self) -> MemoryUsage:
        """Bytes in use, as the allocator measures them."""

    @ensures("MR-14", "the number of freed bytes is not negative", lambda result: result >= 0)
    def reclaim(self) -> int:
        """Return cached but unused buffers to the system; the result is the number of bytes freed."""
