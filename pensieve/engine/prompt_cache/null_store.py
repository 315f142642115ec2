"""Where nothing is to be kept: a KV store that never has anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pensieve.core.prefixes.boundary import Boundary
from pensieve.engine.prompt_cache.match import Match, MissReason


class NullStore:
    """Has the methods of `KVStore`."""

    needs_snapshots = False
    limit_bytes = num_bytes = num_tokens = 0

    def cached_tokens(self, token_ids: Sequence[int]) -> int:  # noqa: ARG002
        return 0

    def match(self, token_ids: Sequence[int]) -> Match:
        return Match(0, None, MissReason.NONE if len(token_ids) < 2 else MissReason.EMPTY)

    def take(self, token_ids: Sequence[int]) -> Match:
        return self.match(token_ids)

    def bytes_of(self, token_ids: Sequence[int]) -> int:  # noqa: ARG002
        return 0

    def insert(
        self,
        token_ids: Sequence[int],  # noqa: ARG002
        caches: Sequence[Any],  # noqa: ARG002
        boundaries: Sequence[Boundary] = (),  # noqa: ARG002
        *,
        move: bool = False,  # noqa: ARG002
    ) -> int:
        return 0

    def touch(self, token_ids: Sequence[int]) -> None:
        """There is nothing to evict."""

    def shrink(self, num_bytes: int) -> int:  # noqa: ARG002
        return 0

    def note_prefill(self, num_tokens: int, seconds: float) -> None:
        """Nothing is read from disk, whatever it costs to compute."""

    def clear(self) -> None:
        """There is nothing to forget."""

    def flush(self, timeout_seconds: float) -> None:
        """Nothing is being written."""

    def close(self, timeout_seconds: float) -> None:
        """There is nothing to end."""

    def check(self) -> None:
        """Nothing can be wrong with nothing."""
