"""The store of a server that keeps no prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pensieve.core.prefixes.boundary import Boundary
from pensieve.core.prefixes.states import SharedTokens
from pensieve.engine.prompt_cache.match import Match, MissReason


class NullStore:
    """Has the methods of `KVStore`."""

    needs_snapshots = False
    limit_bytes = num_bytes = 0

    def is_empty(self, *, namespace: str = "") -> bool:  # noqa: ARG002
        return True

    def cached_tokens(self, token_ids: Sequence[int], *, namespace: str = "") -> int:  # noqa: ARG002
        return 0

    def match(self, token_ids: Sequence[int], *, namespace: str = "") -> Match:  # noqa: ARG002
        return Match(0, None, MissReason.NONE if len(token_ids) < 2 else MissReason.EMPTY)

    def take(self, token_ids: Sequence[int], *, namespace: str = "") -> Match:  # noqa: ARG002
        return self.match(token_ids)

    def bytes_of(self, token_ids: Sequence[int], *, namespace: str = "") -> int:  # noqa: ARG002
        return 0

    def insert(
        self,
        token_ids: Sequence[int],  # noqa: ARG002
        caches: Sequence[Any],  # noqa: ARG002
        boundaries: Sequence[Boundary] = (),  # noqa: ARG002
        *,
        move: bool = False,  # noqa: ARG002
        namespace: str = "",  # noqa: ARG002
    ) -> int:
        return 0

    def shared_tokens(self, prompt: Sequence[int], *, namespace: str = "") -> SharedTokens:  # noqa: ARG002
        return SharedTokens(0, 0)

    def touch(self, token_ids: Sequence[int], *, namespace: str = "") -> None:
        pass

    def shrink(self, num_bytes: int) -> int:  # noqa: ARG002
        return 0

    def note_prefill(self, num_tokens: int, seconds: float) -> None:
        pass

    def close(self, timeout_seconds: float) -> None:
        pass
