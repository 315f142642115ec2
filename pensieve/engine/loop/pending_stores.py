"""What a step computed and the prompt cache should store, held back until the step's events are sent."""

from __future__ import annotations

from typing import NamedTuple

from pensieve.core.prefixes.boundary import Boundary, BoundaryKind
from pensieve.engine.decoding.row import Computed
from pensieve.engine.loop.faults import Faults
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.running import RunningRequest


class _PendingStore(NamedTuple):
    computed: Computed
    boundaries: tuple[Boundary, ...]
    namespace: str
    progress: AnswerProgress | None
    """Set while its request still uses the caches and reports what was stored. Without it they may be moved."""


class PendingStores:
    def __init__(self, prompt_cache: PromptCache, faults: Faults) -> None:
        self._prompt_cache = prompt_cache
        self._faults = faults
        self._pending: list[_PendingStore] = []

    def add_prompt(self, running: RunningRequest, computed: Computed) -> None:
        """A prompt, or its part up to a stop, of a request that goes on."""
        prompt = running.ticket.prompt
        self._pending.append(_PendingStore(computed, running.boundaries, prompt.namespace, running.ticket.progress))

    def add_removed(self, running: RunningRequest, computed: Computed | None) -> None:
        """What was computed for a row that has left the batch, if anything."""
        if computed is None or not computed[0] or not self._prompt_cache.limit_bytes:
            return
        prompt = running.ticket.prompt
        end = () if running.is_prefilling else (Boundary(len(computed[0]), BoundaryKind.ANSWER),)
        self._pending.append(_PendingStore(computed, (*running.boundaries, *end), prompt.namespace, None))

    def flush(self) -> None:
        pending, self._pending = self._pending, []
        for each in pending:
            if not self._is_stored(each) and each.progress is not None:
                each.progress.stored_5m_tokens = each.progress.stored_1h_tokens = 0

    def _is_stored(self, each: _PendingStore) -> bool:
        move = each.progress is None
        with self._faults.contained("storing a computed prompt"):
            return self._prompt_cache.keep(*each.computed, each.boundaries, move=move, namespace=each.namespace)
        return False

    def clear(self) -> None:
        self._pending = []
