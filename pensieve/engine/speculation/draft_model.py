"""A small model that guesses what a larger one says next, with keys and values of its own for each request.

What it has read of a request is in rows (`pensieve.engine.kv.rows`), as the larger model's is: so requests share its
passes, and what did not come true is cut off again. `draft_policy` decides when it is used.

All on the thread that owns MLX.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import mlx.core as mx

from pensieve.core.drafts.length import PassCosts
from pensieve.core.drafts.worth import AcceptanceRate, DraftBudget
from pensieve.core.errors import ModelLoadingError
from pensieve.engine.kv.rows import RowKV, RowsKV
from pensieve.engine.memory.probe import Probe, probe
from pensieve.models.loading.load import LoadedModel, load

if TYPE_CHECKING:
    from pensieve.device.memory.device_memory import DeviceMemory
    from pensieve.models.files.model_folder import ModelFolder

MAX_UNREAD: Final = 8
"""Tokens that the first pass of a draft may read besides; where there are more, they are read before."""

_CANNOT_BE_CUT: Final = (
    "do not all keep the keys and values of every token (there are sliding windows or recurrent layers), so that what "
    "did not come true of a draft could not be cut off; "
)


class DraftRow:
    """What the draft model has read of one request, how often it was right there, and what it has cost there."""

    def __init__(self, num_layers: int, room: int, chance: float) -> None:
        self.caches = [RowKV(min_room=room) for _ in range(num_layers)]
        self.agreement = AcceptanceRate(chance)
        self.lost_seconds = 0.0

    @property
    def num_read(self) -> int:
        return self.caches[0].offset

    @property
    def nbytes(self) -> int:
        return sum(cache.nbytes for cache in self.caches)

    def cut(self, num_tokens: int) -> None:
        """Keep no more than the first `num_tokens`."""
        for cache in self.caches:
            cache.offset = min(cache.offset, num_tokens)


class DraftModel:
    """Loaded for one larger model, whose logits are `vocabulary_size` wide. Outlives batches.

    `share` is what it weighs of the larger model: what a pass of it takes of a plain pass, until one is timed.
    """

    def __init__(self, model: LoadedModel, probed: Probe, vocabulary_size: int, share: float) -> None:
        self.probe = probed
        self.window_tokens = model.context_window_tokens
        self.agreement, self.debt = AcceptanceRate(), DraftBudget()
        self._model = model
        self._share = share
        self._vocabulary_size = min(vocabulary_size, model.vocabulary_size)
        self._costs: dict[int, PassCosts] = {}

    @property
    def weights_bytes(self) -> int:
        return self._model.weights_bytes

    def new_row(self, room: int) -> DraftRow:
        return DraftRow(len(self.probe.sizes.layers), room, self.agreement.chance)

    def seconds(self, num_rows: int, plain_seconds: float) -> float:
        """Of one token for each of so many rows; `plain_seconds` is what the larger model takes for that."""
        known = self._costs[num_rows].seconds(1) if num_rows in self._costs else None
        return known if known is not None else self._share * plain_seconds

    def read(self, row: DraftRow, token_ids: Sequence[int]) -> float:
        """Read a chunk of what `row` has not read of `token_ids`; the seconds that it took."""
        began, start = time.perf_counter(), row.num_read
        num_tokens = min(len(token_ids) - start, self.probe.max_chunk_at(start, self.probe.chunk_tokens))
        self._run(mx.array([self._known(token_ids[start : start + num_tokens])]), [row])
        mx.eval([cache.arrays for cache in row.caches])
        return time.perf_counter() - began

    def draft(
        self, rows: Sequence[DraftRow], unread: Sequence[Sequence[int]], lengths: Sequence[int]
    ) -> list[list[int]]:
        """What comes after each row's `unread` tokens, which are read: the likeliest tokens, `lengths` of each.

        It reads all that it drafts but the last one of each row.
        """
        began = time.perf_counter()
        order = sorted(range(len(rows)), key=lambda index: -lengths[index])  # those that end sooner are at the end
        last = self._first([rows[index] for index in order], [unread[index] for index in order])
        columns = [last]
        for place in range(1, lengths[order[0]]):
            going_on = [index for index in order if lengths[index] > place]
            last = self._likeliest(self._run(last[: len(going_on), None], [rows[index] for index in going_on])[:, -1])
            mx.async_eval(last)  # type: ignore[no-untyped-call]
            columns.append(last)
        said: list[list[int]] = [column.tolist() for column in columns]  # type: ignore[misc]
        self._costs.setdefault(len(rows), PassCosts()).note(1, (time.perf_counter() - began) / len(columns))
        return [[said[place][order.index(index)] for place in range(num)] for index, num in enumerate(lengths)]

    def _first(self, rows: Sequence[DraftRow], unread: Sequence[Sequence[int]]) -> mx.array:
        """The likeliest token after what is read now, of each row."""
        lengths = [len(each) for each in unread]
        width = max(lengths)
        padded = mx.array([[*self._known(each), *[0] * (width - len(each))] for each in unread])
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

    def _known(self, token_ids: Sequence[int]) -> list[int]:
        """Logits may be wider than the vocabulary, and the larger model's wider than ours: none may point outside."""
        return [min(token_id, self._model.vocabulary_size - 1) for token_id in token_ids]


def load_draft(folder: ModelFolder) -> LoadedModel:
    """
    Raises:
        ModelLoadingError: as `load`, and names the option.
    """
    try:
        return load(folder)
    except ModelLoadingError as error:
        raise ModelLoadingError(named(folder.id), str(error).removeprefix(f"cannot load {error.source}: ")) from error


def named(draft_id: str) -> str:
    """What errors call it."""
    return f"--draft-model {draft_id}"


def require_same_vocabulary(draft_id: str, drafting: Any, answering: Any) -> None:
    """
    Raises:
        ModelLoadingError: a text is another token in one tokenizer than in the other; it is named.
    """
    ours, theirs = drafting.get_vocab(), answering.get_vocab()
    differing = [text for text in {*ours, *theirs} if ours.get(text) != theirs.get(text)]
    if not differing:
        return
    text = min(differing, key=lambda each: (len(each), each))
    raise ModelLoadingError(
        named(draft_id),
        f"its vocabulary of {len(ours)} tokens is not the one of {len(theirs)} that --model has: {text!r} is "
        f"{_said(ours, text)} in the one and {_said(theirs, text)} in the other; choose a smaller model of the same "
        "family, or serve without",
    )


def _said(vocabulary: dict[str, int], text: str) -> str:
    return f"token {vocabulary[text]}" if text in vocabulary else "no token"


def ready_to_draft(
    draft_id: str, draft: LoadedModel, main: LoadedModel, main_probe: Probe, memory: DeviceMemory
) -> DraftModel:
    """Its figures found out, as those of `main` were. To read a prompt, it takes no more than that does if it can.

    Raises:
        ModelLoadingError: its tokens are not those of `main`, or the caches of one of them cannot be cut.
    """
    require_same_vocabulary(draft_id, draft.tokenizer, main.tokenizer)
    if not main_probe.sizes.in_rows:
        raise ModelLoadingError(named(draft_id), f"the layers of --model {_CANNOT_BE_CUT}serve it without")
    found = probe(draft, memory, chunk_tokens=main_probe.chunk_tokens, max_bytes=main_probe.activation_bytes)
    if not found.sizes.in_rows:
        raise ModelLoadingError(named(draft_id), f"its layers {_CANNOT_BE_CUT}choose another, or serve without")
    return DraftModel(draft, found, main.vocabulary_size, draft.weights_bytes / max(1, main.weights_bytes))
