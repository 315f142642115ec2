"""What drafts tokens for a model to verify: a draft model, or the model's own MTP head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from pensieve.core.drafts.worth import AcceptanceRate, DraftBudget
    from pensieve.engine.decoding.pass_observer import PassObserver
    from pensieve.engine.decoding.row import Row


class DrafterRow(Protocol):
    """The drafter's state for one request: its KV, its acceptance rate, and the time it has lost."""

    acceptance: AcceptanceRate
    lost_seconds: float

    @property
    def num_prefilled(self) -> int:
        """The request's tokens that a draft need not compute."""

    @property
    def nbytes(self) -> int: ...

    def cut(self, num_tokens: int) -> None:
        """Of the draft, only what lies within the request's first `num_tokens` was accepted."""

    def clear(self) -> None:
        """Free the KV: it is not used any more."""


class Drafter(Protocol):
    """Outlives batches."""

    window_tokens: int
    acceptance: AcceptanceRate
    budget: DraftBudget

    @property
    def observer(self) -> PassObserver | None:
        """What has to see the passes of all rows, if anything has to."""

    def new_row(self, row: Row) -> Any: ...

    def seconds(self, num_rows: int, plain_seconds: float) -> float:
        """Seconds for one token of each of `num_rows` rows; the larger model takes `plain_seconds` for the same."""

    def prefill(self, row: Any, token_ids: Sequence[int]) -> float:
        """Prefill the next chunk of `token_ids` that `row` lacks. Returns the seconds it took."""

    def draft(self, rows: Sequence[Any], pending: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[list[int]]:
        """Compute each row's `pending` tokens, then draft its most likely next tokens, `lengths[i]` for row i."""


def by_row(columns: Sequence[Sequence[int]], order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    """The drafts of rows 0, 1, … from the tokens at each place of those rows, in `order`, that are not complete yet."""
    return [[columns[place][order.index(index)] for place in range(num)] for index, num in enumerate(lengths)]
