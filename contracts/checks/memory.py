"""`check_memory`: checks any MetalResourceManager against its clauses and the promises below."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from contracts.checked import checked
from contracts.checks.promises import expect, expect_refusal, promise, promised
from contracts.clauses import ContractViolation
from contracts.protocols.memory import MetalResourceManager
from contracts.values.vocabulary import BufferUsage, ErrorKind, KernelSource, Reservation

REFUSAL = promise("MR-20", "a refusal leaves every figure unchanged")
AGAIN = promise("MR-21", "the whole capacity can be reserved, and reserved again after its release")
SUM = promise("MR-22", "the total is the sum over all purposes")
OWN = promise("MR-23", "every reservation is independent: releasing one leaves the others held")
ONCE = promise("MR-24", "the same kernel source is compiled only once")
KEPT = promise("MR-25", "reclaiming leaves reserved bytes alone")
THREADS = promise("MR-26", "concurrent reservations by several threads are all counted and stay within the capacity")

MEMORY_PROMISES = (REFUSAL, AGAIN, SUM, OWN, ONCE, KEPT, THREADS)

NUM_THREADS = 4
NUM_ROUNDS = 5

KERNEL = KernelSource(
    name="contract_double",
    body="uint i = thread_position_in_grid.x; doubled[i] = numbers[i] + numbers[i];",
    input_names=("numbers",),
    output_names=("doubled",),
)


def check_memory(make: Callable[[], MetalResourceManager]) -> None:
    """Check what `make` returns against the contract of MetalResourceManager. No real bytes are allocated.

    Raises:
        ContractViolation: a clause or promise does not hold.
    """
    for check in (_check_refusal, _check_again, _check_sum, _check_own, _check_kept, _check_kernel):
        check(checked(MetalResourceManager, make()))
    # Unchecked, because reservations by other threads would change the figures between a call and its clause.
    _check_threads(make())


def _check_refusal(memory: MetalResourceManager) -> None:
    half = _available(memory) // 2
    with promised(REFUSAL):
        held = memory.reserve(half, BufferUsage.MODEL_WEIGHTS)
        before = _figures(memory)
        for num_bytes in (_available(memory) + 1, memory.capacity_bytes + 1):
            expect_refusal(REFUSAL, ErrorKind.INSUFFICIENT_MEMORY, memory.reserve, num_bytes, BufferUsage.KV_CACHE)
            expect(REFUSAL, _figures(memory) == before and memory.holds(held))
        memory.usage()


def _check_again(memory: MetalResourceManager) -> None:
    available = _available(memory)
    with promised(AGAIN):
        for usage in (BufferUsage.KV_CACHE, BufferUsage.TEMPORARY):
            memory.release(memory.reserve(available, usage))
        expect(AGAIN, _available(memory) == available, "bytes were not released")


def _check_sum(memory: MetalResourceManager) -> None:
    num_shares = sum(range(1, len(BufferUsage) + 1))
    share = max(1, _available(memory) // num_shares)
    with promised(SUM):
        for number, usage in enumerate(BufferUsage, start=1):
            memory.reserve(number * share if share > 1 else 1, usage)
            expect(SUM, memory.reserved_bytes() == sum(memory.reserved_bytes(each) for each in BufferUsage))


def _check_own(memory: MetalResourceManager) -> None:
    share = max(1, _available(memory) // 4)
    with promised(OWN):
        first, second = (memory.reserve(share, BufferUsage.KV_CACHE) for _ in range(2))
        expect(OWN, first != second, "two reservations are equal")
        memory.release(first)
        expect(OWN, memory.holds(second), "the other one was released too")
        memory.release(second)


def _check_kept(memory: MetalResourceManager) -> None:
    with promised(KEPT):
        held = memory.reserve(max(1, _available(memory) // 2), BufferUsage.KV_CACHE)
        before = _figures(memory)
        memory.reclaim()
        expect(KEPT, memory.holds(held) and _figures(memory) == before)


def _check_kernel(memory: MetalResourceManager) -> None:
    """A device without kernel support only has to refuse."""
    try:
        kernel = memory.compile_kernel(KERNEL)
    except ContractViolation:
        raise
    except Exception:  # MR-12 let it pass, so it is the device's refusal
        return
    with promised(ONCE):
        expect(ONCE, memory.compile_kernel(KERNEL) is kernel)


def _check_threads(memory: MetalResourceManager) -> None:
    """Four threads try to reserve a third of the capacity each: exactly three must succeed."""
    third = _available(memory) // 3
    start = Barrier(NUM_THREADS)

    def reserve_a_third() -> Reservation | None:
        start.wait()
        try:
            return memory.reserve(third, BufferUsage.TEMPORARY)
        except Exception as error:
            if getattr(error, "kind", None) is not ErrorKind.INSUFFICIENT_MEMORY:
                raise
            return None

    with promised(THREADS), ThreadPoolExecutor(NUM_THREADS) as threads:
        for _ in range(NUM_ROUNDS):
            outcomes = [threads.submit(reserve_a_third) for _ in range(NUM_THREADS)]
            reserved = [reservation for outcome in outcomes if (reservation := outcome.result()) is not None]
            expect(THREADS, len(reserved) == 3, f"{len(reserved)} of {NUM_THREADS} threads got a third")
            expect(THREADS, memory.reserved_bytes(BufferUsage.TEMPORARY) == 3 * third, "the reserved bytes are wrong")
            list(threads.map(memory.release, reserved))
            expect(THREADS, memory.reserved_bytes(BufferUsage.TEMPORARY) == 0, "bytes were not released")


def _available(memory: MetalResourceManager) -> int:
    return memory.capacity_bytes - memory.reserved_bytes()


def _figures(memory: MetalResourceManager) -> tuple[int, ...]:
    return (memory.reserved_bytes(), *(memory.reserved_bytes(usage) for usage in BufferUsage))
