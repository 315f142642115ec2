"""A draft model: a small model that guesses the next tokens of a larger one, with its own KV cache for each request.

Its caches are rows (`pensieve.engine.kv.rows`), like the larger model's: requests share its passes, and rejected tokens
are cut off. `draft_policy` decides when it is used.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import mlx.core as mx

from pensieve.core.drafts.length import PassCosts
from pensieve.core.drafts.worth import AcceptanceRate, DraftBudget
from pensieve.core.errors import ModelLoadingError
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.forms import RowForms
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.memory.probe import Probe, probe
from pensieve.engine.speculation.drafter import by_row
from pensieve.models.loading.load import LoadedModel, load

if TYPE_CHECKING:
    from pensieve.device.memory.device_memory import DeviceMemory
    from pensieve.engine.decoding.row import Row
    from pensieve.models.files.model_folder import ModelFolder

MAX_PENDING: Final = 8
"""Tokens of a row that a draft's first pass may prefill as well. If more are pending, they are prefilled beforehand."""

_CANNOT_BE_CUT: Final = (
    "do not all keep the keys and values of every token (some are recurrent or use sliding windows), so rejected draft "
    "tokens could not be removed; "
)


class DraftRow:
    """The draft model's state for one request: its KV cache, its acceptance rate, and the time it has lost."""

    def __init__(self, num_layers: int, room: int, chance: float) -> None:
        self.caches = [RowKV(min_room=room) for _ in range(num_layers)]
        self.acceptance = AcceptanceRate(chance)
        self.lost_seconds = 0.0

    @property
    def num_prefilled(self) -> int:
        return self.caches[0].offset

    @property
    def nbytes(self) -> int:
        return sum(cache.nbytes for cache in self.caches)

    def cut(self, num_tokens: int) -> None:
        for cache in self.caches:
            cache.offset = min(cache.offset, num_tokens)

    def clear(self) -> None:
        self.caches = [RowKV() for _ in self.caches]


class DraftModel:
    """A draft model for one larger model, whose logits are `vocabulary_size` wide. Outlives batches.

    `share` is its weight relative to the larger model: the estimate of its pass times until one is measured.
    """

    def __init__(self, model: LoadedModel, probed: Probe, vocabulary_size: int, share: float) -> None:
        self.probe = probed
        self.window_tokens = model.context_window_tokens
        self.acceptance, self.budget = AcceptanceRate(), DraftBudget()
        self._model = model
        self._share = share
        self._vocabulary_size = min(vocabulary_size, model.vocabulary_size)
        self._costs: dict[int, PassCosts] = {}

    @property
    def weights_bytes(self) -> int:
        return self._model.weights_bytes

    @property
    def observer(self) -> None:
        """A draft model reads tokens alone."""

    def new_row(self, row: Row) -> DraftRow:
        return DraftRow(len(self.probe.sizes.layers), len(row.token_ids), self.acceptance.chance)

    def seconds(self, num_rows: int, plain_seconds: float) -> float:
        measured = self._costs[num_rows].seconds(1) if num_rows in self._costs else None
        return measured if measured is not None else self._share * plain_seconds

    def prefill(self, row: DraftRow, token_ids: Sequence[int]) -> float:
        began, start = time.perf_counter(), row.num_prefilled
        num_tokens = min(len(token_ids) - start, self.probe.max_chunk_at(start, self.probe.chunk_tokens))
        self._run(mx.array([self._clamped(token_ids[start : start + num_tokens])]), [row])
        mx.eval([cache.arrays for cache in row.caches])
        return time.perf_counter() - began

    def draft(
        self, rows: Sequence[DraftRow], pending: Sequence[Sequence[int]], lengths: Sequence[int]
    ) -> list[list[int]]:
        """Prefill each row's `pending` tokens, then draft its most likely next tokens, `lengths[i]` for row i.

        Afterwards the rows hold all of their drafts except the last token.
        """
        began = time.perf_counter()
        order = sorted(range(len(rows)), key=lambda index: -lengths[index])  # shorter drafts last
        last = self._first([rows[index] for index in order], [pending[index] for index in order])
        columns = [last]
        for place in range(1, lengths[order[0]]):
            unfinished = [index for index in order if lengths[index] > place]
            last = self._likeliest(
                self._run(last[: len(unfinished), None], [rows[index] for index in unfinished])[:, -1]
            )
            mx.async_eval(last)  # type: ignore[no-untyped-call]
            columns.append(last)
        drafted: list[list[int]] = [column.tolist() for column in columns]  # type: ignore[misc]
        self._costs.setdefault(len(rows), PassCosts()).note(1, (time.perf_counter() - began) / len(columns))
        return by_row(drafted, order, lengths)

    def _first(self, rows: Sequence[DraftRow], pending: Sequence[Sequence[int]]) -> mx.array:
        """The most likely token after each row's pending tokens, int32 [rows]."""
        lengths = [len(each) for each in pending]
        width = max(lengths)
        padded = mx.array([[*self._clamped(each), *[0] * (width - len(each))] for each in pending])
        logits = self._run(padded, rows, lengths)
        return self._likeliest(logits[mx.arange(len(rows)), mx.array(lengths) - 1])

    def _run(self, token_ids: mx.array, rows: Sequence[DraftRow], lengths: Sequence[int] | None = None) -> mx.array:
        caches = [RowsKV(layer) for layer in zip(*(row.caches for row in rows), strict=True)]
        if lengths is not None and min(lengths) < max(lengths):
            for cache in caches:
                cache.prepare(lengths=lengths, right_padding=[max(lengths) - length for length in lengths])
        logits: mx.array = self._model.model(token_ids, cache=caches)
        return logits

    def _likeliest(self, logits: mx.array) -> mx.array:
        return mx.argmax(logits[:, : self._vocabulary_size], axis=-1)

    def _clamped(self, token_ids: Sequence[int]) -> list[int]:
        """Token ids within this model's vocabulary: the larger model's logits may be wider."""
        return [min(token_id, self._model.vocabulary_size - 1) for token_id in token_ids]


def load_draft(folder: ModelFolder) -> LoadedModel:
    """
    Raises:
        ModelLoadingError: as `load`; the message names the option.
    """
    try:
        return load(folder)
    except ModelLoadingError as error:
        raise ModelLoadingError(
            option_for(folder.id), str(error).removeprefix(f"cannot load {error.source}: ")
        ) from error


def option_for(draft_id: str) -> str:
    """The draft model's name in error messages."""
    return f"--draft-model {draft_id}"


def require_same_vocabulary(draft_id: str, draft: Any, main: Any) -> None:
    """
    Raises:
        ModelLoadingError: the tokenizers give some text different token ids; the message names one.
    """
    of_draft, of_main = draft.get_vocab(), main.get_vocab()
    differing = [text for text in {*of_draft, *of_main} if of_draft.get(text) != of_main.get(text)]
    if not differing:
        return
    text = min(differing, key=lambda each: (len(each), each))
    raise ModelLoadingError(
        option_for(draft_id),
        f"its vocabulary of {len(of_draft)} tokens differs from the {len(of_main)} tokens of --model: {text!r} is "
        f"{_token_name(of_draft, text)} in the first and {_token_name(of_main, text)} in the second; choose a smaller "
        "model of the same family, or serve without --draft-model",
    )


def _token_name(vocabulary: dict[str, int], text: str) -> str:
    return f"token {vocabulary[text]}" if text in vocabulary else "not a token"


def ready_to_draft(
    draft_id: str, draft: LoadedModel, main: LoadedModel, main_probe: Probe, memory: DeviceMemory
) -> DraftModel:
    """Probe a loaded draft model. If possible, its prefill needs no more memory than that of `main`.

    Raises:
        ModelLoadingError: the vocabularies differ, or the caches of one of the models cannot be cut.
    """
    require_same_vocabulary(draft_id, draft.tokenizer, main.tokenizer)
    draft_probe = probe(draft, memory, chunk_tokens=main_probe.chunk_tokens, max_bytes=main_probe.activation_bytes)
    if draft_probe.rows != "all" or draft_probe.forms != RowForms():
        raise ModelLoadingError(
            option_for(draft_id), f"its layers {_CANNOT_BE_CUT}choose another model, or serve without --draft-model"
        )
    return DraftModel(draft, draft_probe, main.vocabulary_size, draft.weights_bytes / max(1, main.weights_bytes))
