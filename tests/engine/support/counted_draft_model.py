"""A draft model that counts what it drafts, and whose costs are fixed, so that no clock decides when it drafts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pensieve.core.drafts.length import PassCosts
from pensieve.engine.kv.sizes import KVSizes, LayerKV
from pensieve.engine.memory.probe import Probe
from pensieve.engine.speculation.draft_model import DraftModel, DraftRow
from pensieve.engine.speculation.pass_costs import Pace
from pensieve.models.loading.load import LoadedModel
from tests.engine.speculation.test_speculation import NUM_LAYERS
from tests.engine.support.tiny_modules import VOCABULARY

CHUNK_TOKENS = 16
PROBE = Probe(CHUNK_TOKENS, 1, 0, 1, KVSizes((LayerKV(256),) * NUM_LAYERS, in_rows=True))


class FixedCosts(PassCosts):
    def seconds(self, width: int) -> float:
        return 1.0 + 0.05 * (width - 1)


class FixedPace(Pace):
    def costs(self, num_rows: int) -> PassCosts:  # noqa: ARG002 - for any number
        return FixedCosts()


class CountedDraftModel(DraftModel):
    """Counts its drafts. A drafted token costs a tenth of a plain pass."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model, PROBE, VOCABULARY, 0.1)
        self.num_drafted = 0
        self.last_rows: list[DraftRow] = []

    def become(self, model: LoadedModel) -> None:
        """Draft with another model from now on."""
        self._model = model

    def seconds(self, num_rows: int, plain_seconds: float) -> float:  # noqa: ARG002 - for any number
        return 0.1 * plain_seconds

    def prefill(self, row: DraftRow, token_ids: Sequence[int]) -> float:
        """A hundredth of a plain pass, instead of the time that it takes."""
        super().prefill(row, token_ids)
        return 0.01

    def draft(self, rows: Any, pending: Any, lengths: Any) -> list[list[int]]:
        self.num_drafted += sum(lengths)
        self.last_rows = list(rows)
        return super().draft(rows, pending, lengths)
