"""Which of a model's caches are rows, and what it computes correctly in batches, found by running it.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import mlx.core as mx

from pensieve.engine.kv.batch_check import TOLERANCE, Batching, batching_of, keeps_apart, logits_alone
from pensieve.engine.kv.rows.forms import ATTENDING, RowForms, in_rows, possible_forms, runnable
from pensieve.engine.kv.rows.row import Form, RowKV
from pensieve.engine.kv.sizes import KVSizes
from pensieve.engine.kv.snapshots import has_growing_layout

if TYPE_CHECKING:
    from pensieve.models.loading.load import LoadedModel

Rows = Literal["all", "attention", "none"]

_BATCHINGS: Final[Sequence[Batching]] = ("none", "separate", "decoding", "whole")
"""The later, the better."""
_FORMS: Final[Mapping[Form | None, str]] = {
    "attending": "each attended to as it is",
    "latent": "latent attention to each as it is",
    "gathered": "padded while a layer attends to them",
    None: "",
}

_LONG, _SHORT = (1, 2, 3, 4, 5), (6, 7, 8)


class Layout(NamedTuple):
    rows: Rows
    batching: Batching
    forms: RowForms = ATTENDING


def layout_of(model: LoadedModel) -> Layout:
    """The rows of a model's layers, as far as it computes the same with them as with mlx-lm's caches alone."""
    from pensieve.device.mlx_lm import caches as mlx_lm_caches  # noqa: PLC0415 - half a second

    caches = mlx_lm_caches.new_caches(model.model)
    rows: Rows = "all" if has_growing_layout(caches) else "attention"
    if rows == "all" and rows_match_single_requests(model):
        return Layout(rows, "whole")
    alone = logits_alone(model.model)
    tried: list[Layout] = []
    for forms in possible_forms(caches):
        tried.append(Layout(rows, batching_of(model.model, alone, partial(in_rows, forms=forms)), forms))
        if tried[-1].batching == "whole":
            return tried[-1]
    plain = Layout("none", batching_of(model.model, alone), RowForms(None))
    best = max(tried, key=lambda layout: _BATCHINGS.index(layout.batching))
    is_as_good = _BATCHINGS.index(best.batching) >= _BATCHINGS.index(plain.batching)
    if is_as_good and best.batching != "none":
        return best
    in_turns = plain.batching == "none" and keeps_apart(model.model, alone)
    return Layout("none", "separate", plain.forms) if in_turns else plain


def in_words(layout: Layout, sizes: KVSizes) -> str:
    """How requests that run together are attended to."""
    rows, batching, forms = layout
    if batching == "none":
        return "mlx-lm's, one request at a time"
    if batching == "separate":
        return "mlx-lm's, a pass for each request"
    if rows == "none":
        return "mlx-lm's, padded to the longest request"
    growing, windows = (_FORMS[form] for form in forms)
    parts = [growing and f"rows, {growing}", windows and f"windows in rows, {windows}"]
    if sizes.has_padded_layers:
        parts.append("the others in mlx-lm's caches, padded to the longest request")
    return "; ".join(part for part in parts if part) or "none"


def new_caches(
    model: LoadedModel,
    rows: Rows,
    forms: RowForms = ATTENDING,
    *,
    bits: int | None = None,
    min_room: int = 0,
) -> list[Any]:
    """Empty caches for one request, with room for `min_room` tokens in those that are rows."""
    from pensieve.device.mlx_lm import caches as mlx_lm_caches  # noqa: PLC0415 - half a second

    caches: list[Any] = mlx_lm_caches.new_caches(model.model)
    return in_rows(caches, forms, bits=bits, min_room=min_room) if rows != "none" else caches


def rows_match_single_requests(model: LoadedModel) -> bool:
    """Whether two requests in one batch of `RowsKV` have the same logits as each alone, in prefill and decoding."""
    try:
        together = _continued_together(model)
    except Exception:  # a model that uses its cache in another way may fail with any error
        return False
    alone = [_continued_alone(model, prompt) for prompt in (_LONG, _SHORT)]
    return all(
        bool(mx.max(mx.abs(one - other)) <= TOLERANCE * mx.max(mx.abs(one)))
        for one, other in zip(alone, together, strict=True)
    )


def _continued_alone(model: LoadedModel, prompt: Sequence[int]) -> mx.array:
    from pensieve.device.mlx_lm import caches as mlx_lm_caches  # noqa: PLC0415 - half a second

    caches = mlx_lm_caches.new_caches(model.model)
    model.model(mx.array([prompt]), cache=caches)
    logits: mx.array = model.model(mx.array([[9]]), cache=caches)[0, -1].astype(mx.float32)
    return logits


def _continued_together(model: LoadedModel) -> list[mx.array]:
    caches = runnable(new_caches(model, "all"))
    padding = len(_LONG) - len(_SHORT)
    for cache in caches:
        cache.rows.append(RowKV())
        cache.prepare(lengths=[len(_LONG), len(_SHORT)], right_padding=[0, padding])
    model.model(mx.array([_LONG, (*_SHORT, *[0] * padding)]), cache=caches)
    for cache in caches:
        cache.finalize()
    logits = model.model(mx.array([[9], [9]]), cache=caches)[:, -1].astype(mx.float32)
    return [logits[0], logits[1]]
