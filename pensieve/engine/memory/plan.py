"""The memory that a loaded model reserves, and the longest request that fits into the rest (S7, C4)."""

from __future__ import annotations

from functools import reduce

from contracts.values.vocabulary import BufferUsage, Reservation
from pensieve.core.errors import InsufficientMemoryError
from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.kv.sizes import KVSizes
from pensieve.engine.memory.memos import MemoSizes
from pensieve.engine.memory.probe import Probe

MIN_WINDOW_TOKENS = 256
"""A model with less room than this is not loaded."""


class MemoryPlan:
    """One model's reservations. Other models can be unloaded, so their memory does not limit this model's window."""

    def __init__(self, memory: DeviceMemory, expected_weights_bytes: int) -> None:
        """Reserve memory for the weights before they are read.

        Raises:
            InsufficientMemoryError: the weights do not fit.
        """
        self._memory = memory
        self._reservations: list[Reservation] = [
            memory.reserve(max(1, expected_weights_bytes), BufferUsage.MODEL_WEIGHTS)
        ]
        self._model_window_tokens = 0
        self._sizes: KVSizes
        self._has_draft = False
        self._memos: Reservation | None = None

    def correct(self, weights_bytes: int) -> None:
        """Reserve what the weights, now in memory, really take.

        Raises:
            InsufficientMemoryError: it is more than was expected, and does not fit.
        """
        self._memory.release(self._reservations.pop())
        self._reservations.append(self._memory.reserve(weights_bytes, BufferUsage.MODEL_WEIGHTS))

    def add_memos(self, sizes: MemoSizes) -> None:
        """Reserve what the memos of requests may take.

        Raises:
            InsufficientMemoryError: it does not fit.
        """
        self._memos = self._memory.reserve_on_host(sizes.total_bytes, BufferUsage.ACTIVATION)

    def add(
        self, probe: Probe, model_window_tokens: int, draft: Probe | None = None, head: KVSizes | None = None
    ) -> None:
        """Reserve the activation memory of prefill. With a `draft` model, requests have KV caches in both models, which
        never prefill at the same time. `head` is what an MTP head holds for a request.

        Raises:
            InsufficientMemoryError: it does not fit, or leaves no room for `MIN_WINDOW_TOKENS`.
        """
        self._model_window_tokens, self._has_draft = model_window_tokens, draft is not None
        others = [each for each in (draft.sizes if draft is not None else None, head) if each is not None]
        self._sizes = reduce(KVSizes.beside, others, probe.sizes)
        activation_bytes = max(each.activation_bytes for each in (probe, draft) if each is not None)
        self._reservations.append(self._memory.reserve(activation_bytes, BufferUsage.ACTIVATION))
        min_tokens = min(MIN_WINDOW_TOKENS, model_window_tokens)
        if self.window_tokens < min_tokens:
            raise InsufficientMemoryError(
                f"{min_tokens} tokens of kv cache", self._sizes.alone(min_tokens), self._room_bytes
            )

    @property
    def sizes(self) -> KVSizes:
        """The KV sizes of a request in all its caches."""
        return self._sizes

    @property
    def window_tokens(self) -> int:
        """The model's window, or what fits into memory when nothing else runs."""
        return min(self._model_window_tokens, self._sizes.max_tokens(self._room_bytes))

    @property
    def why_this_window(self) -> str:
        """The calculation, if memory limits the window; else ""."""
        window_tokens = self.window_tokens
        if window_tokens == self._model_window_tokens:
            return ""
        weights, *others = (each.num_bytes for each in self._all)
        draft = " and the draft model's" if self._has_draft else ""
        without = ", or without --draft-model" if self._has_draft else ""
        return (
            f"of the memory limit of {_gb(self._memory.capacity_bytes)}, {_gb(weights)} are weights{draft}, "
            f"{_gb(sum(others))} for prefill and {_gb(self._process_bytes)} the process; "
            f"the other {_gb(self._room_bytes)} hold {window_tokens} tokens of "
            f"{self._sizes.bytes_per_token / 1000:.1f} kB{draft and ', its keys and values in both models'}. "
            f"Raise --memory-limit, or serve with --kv-bits 8{without}"
        )

    def release(self) -> None:
        """Releasing twice does nothing."""
        for reservation in self._all:
            self._memory.release(reservation)
        self._reservations, self._memos = [], None

    @property
    def _all(self) -> list[Reservation]:
        return [*self._reservations, *([self._memos] if self._memos is not None else [])]

    @property
    def _process_bytes(self) -> int:
        return self._memory.reserved_bytes(BufferUsage.TEMPORARY)

    @property
    def _room_bytes(self) -> int:
        """What is left for a single request."""
        reserved = sum(each.num_bytes for each in self._all)
        return max(0, self._memory.capacity_bytes - self._process_bytes - reserved)


def _gb(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
