"""Which caches of a model are rows, and in which form.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from pensieve.engine.kv.rows import gathered, latent
from pensieve.engine.kv.rows.batch import RowBatch
from pensieve.engine.kv.rows.chunk_row import ChunkRow
from pensieve.engine.kv.rows.row import Form, RowKV
from pensieve.engine.kv.rows.window_row import WindowRow

_MODULES: Final = (gathered, latent)
"""Imported so that their forms are known."""


class RowForms(NamedTuple):
    """The forms of caches that keep all tokens, and of sliding windows. None: they stay mlx-lm's."""

    growing: Form | None = "attending"
    windows: Form | None = None


ATTENDING: Final = RowForms()

_POSSIBLE: Final = (
    RowForms("attending", "attending"),
    RowForms("latent", "attending"),
    RowForms("attending", "gathered"),
    RowForms("attending", None),
    RowForms("gathered", "gathered"),
    RowForms("gathered", None),
)
"""The best first."""


def possible_forms(caches: Sequence[Any]) -> list[RowForms]:
    """The forms that one request's caches, of mlx-lm's kinds, may have."""
    from pensieve.device.mlx_lm.caches import ChunkedKVCache, KVCache, RotatingKVCache  # noqa: PLC0415 - half a second

    kinds = {type(each) for each in leaves(caches)}
    grows, slides = KVCache in kinds, bool(kinds & {RotatingKVCache, ChunkedKVCache})
    found = [RowForms(each.growing if grows else None, each.windows if slides else None) for each in _POSSIBLE]
    return list(dict.fromkeys(found))


def in_rows(
    caches: Sequence[Any],
    forms: RowForms = ATTENDING,
    *,
    bits: int | None = None,
    min_room: int = 0,
) -> list[Any]:
    """One request's caches, with rows in the place of mlx-lm's. What is a row already gets its form."""
    return [_in_row(each, forms, bits, min_room) for each in caches]


def _in_row(cache: Any, forms: RowForms, bits: int | None, min_room: int) -> Any:
    from pensieve.device.mlx_lm.caches import (  # noqa: PLC0415 - half a second
        CacheList,
        ChunkedKVCache,
        KVCache,
        RotatingKVCache,
    )

    if type(cache) is CacheList:
        return CacheList(*in_rows(cache.caches, forms, bits=bits, min_room=min_room))
    if type(cache) is KVCache and forms.growing is not None:
        return RowKV.of(cache, bits=bits, min_room=min_room, form=forms.growing)
    if type(cache) is RotatingKVCache and forms.windows is not None and not cache.keep:
        return WindowRow.of_rotating(cache, form=forms.windows)
    if type(cache) is ChunkedKVCache and forms.windows == "attending":
        return ChunkRow.of_chunked(cache)
    if isinstance(cache, RowKV):
        form = forms.windows if cache.window is not None else forms.growing
        cache.form = form or cache.form
    return cache


def without_rows(caches: Sequence[Any]) -> list[Any]:
    """The reverse of `in_rows`."""
    return [_without_row(each) for each in caches]


def _without_row(cache: Any) -> Any:
    from pensieve.device.mlx_lm.caches import CacheList  # noqa: PLC0415 - half a second

    if type(cache) is CacheList:
        return CacheList(*without_rows(cache.caches))
    return cache.as_mlx_cache() if isinstance(cache, RowKV) else cache


def leaves(caches: Iterable[Any]) -> list[Any]:
    """The caches, with lists of caches replaced by their parts."""
    return [leaf for each in caches for leaf in (leaves(each.caches) if hasattr(each, "caches") else [each])]


def nested(template: Sequence[Any], caches: Sequence[Any]) -> list[Any]:
    """Caches in lists where the template has lists, the reverse of `leaves`, unless they are already."""
    is_nested = any(hasattr(each, "caches") for each in caches)
    return list(caches) if is_nested else _nested(template, iter(caches))


def _nested(template: Iterable[Any], parts: Iterator[Any]) -> list[Any]:
    from pensieve.device.mlx_lm.caches import CacheList  # noqa: PLC0415 - half a second

    return [CacheList(*_nested(each.caches, parts)) if hasattr(each, "caches") else next(parts) for each in template]


def are_rows(caches: Iterable[Any]) -> bool:
    """Whether all of them are rows, of one request or of several."""
    return all(isinstance(each, (RowKV, RowBatch)) for each in leaves(caches))


def runnable(caches: Sequence[Any]) -> list[Any]:
    """One request's caches as a model takes them: a row becomes a batch of one."""
    from pensieve.device.mlx_lm.caches import CacheList  # noqa: PLC0415 - half a second

    def batch_of(cache: Any) -> Any:
        if type(cache) is CacheList:
            return CacheList(*map(batch_of, cache.caches))
        return cache.merge([cache]) if isinstance(cache, RowKV) else cache

    return [batch_of(each) for each in caches]
