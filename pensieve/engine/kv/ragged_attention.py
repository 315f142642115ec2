"""Attention of one new token of every row, in one kernel for all rows, on GPUs.

Rows keep their keys and values in arrays of their own, of different lengths. The stock operation takes one row at a
time, so that a step with sixteen rows would start it, and copy its results together, sixteen times for each layer.

The kernel is a flash decoding: each group of threads attends to a share of one row's tokens for one query head; the
shares of a long row are combined by a second kernel. The newest tokens of all rows may be in one array
(`pensieve.engine.kv.rows.newest`). Before heads of a kind are first attended to in this way, which
is while a model is loaded, the kernels are compared with the stock operation (`pensieve.device.checked_kernels`). The
Metal form has not been run yet.

Everything here runs on the thread that owns MLX.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache, partial
from typing import Any, Final, NamedTuple

import mlx.core as mx

from pensieve.device.checked_kernels import CHECKED_KERNELS
from pensieve.device.device import Backend, device_info
from pensieve.engine.kv.ragged_kernel import ATTEND, COMBINE, HEADERS

MAX_ROWS: Final = {"cuda": 16, "metal": 8}
"""Rows in one kernel. Metal binds at most 31 buffers."""
_WARPS: Final = 8
_SPLIT_TOKENS: Final = 512
"""The tokens of a row that one group of threads attends to."""
_MAX_SPLITS: Final = 32
_TOLERANCES: Final = {mx.float32: 2e-3, mx.float16: 1e-2, mx.bfloat16: 4e-2}
"""The largest difference to the stock operation, relative to its largest number. CUDA multiplies f32 as TF32."""

MAX_NEWEST: Final = 16
"""The newest tokens of a row that may lie beside its own arrays."""

RowArrays = tuple[mx.array, mx.array, int, int]
"""A row's keys and values [1, heads, room, size], the first token to attend to, and how many tokens they hold."""


class Newest(NamedTuple):
    """Keys and values [rows, heads, MAX_NEWEST, size] of the tokens that follow what the rows hold."""

    keys: mx.array
    values: mx.array
    num_tokens: int


class HeadKind(NamedTuple):
    """What a kernel is compiled for."""

    dtype: mx.Dtype
    num_heads: int
    num_shared: int
    key_size: int
    value_size: int
    has_sinks: bool = False

    @classmethod
    def of(cls, queries: mx.array, keys: mx.array, values: mx.array, *, has_sinks: bool = False) -> HeadKind:
        return cls(queries.dtype, queries.shape[1], keys.shape[1], keys.shape[3], values.shape[3], has_sinks)

    @property
    def can_be_served(self) -> bool:
        """Whether the kernel is written for them: each of 32 lanes has an equal share of a head."""
        sizes = (self.key_size, self.value_size)
        return self.dtype in _TOLERANCES and all(size % 32 == 0 and size <= 512 for size in sizes)

    @property
    def name(self) -> str:
        dtype = str(self.dtype).removeprefix("mlx.core.")
        heads = f"{self.num_heads}/{self.num_shared} heads of {self.key_size}/{self.value_size} {dtype}"
        return f"attention of {heads}{' with sinks' if self.has_sinks else ''}"


def attends_at_once(queries: mx.array, keys: mx.array, values: mx.array, *, has_sinks: bool = False) -> bool:
    """Whether heads of this kind can be attended to with `attend_all`. The first time, the kernels are checked."""
    kind = HeadKind.of(queries, keys, values, has_sinks=has_sinks)
    is_alike = queries.dtype == keys.dtype == values.dtype
    return is_alike and kind.can_be_served and CHECKED_KERNELS.serves(kind.name, partial(_is_exact, kind))


def attend_all(
    queries: mx.array,
    rows: Sequence[RowArrays],
    scale: float,
    *,
    sinks: mx.array | None = None,
    newest: Newest | None = None,
) -> mx.array:
    """Attention [rows, query heads, 1, value size] of queries [rows, query heads, 1, size] to their rows' tokens.

    sinks: [query heads], scores that take a share without having values.
    """
    newest = newest or Newest(rows[0][0], rows[0][1], 0)
    limit = MAX_ROWS[_backend()]
    if len(rows) <= limit:
        return _attend(queries, rows, newest, scale, sinks)
    parts = [slice(at, at + limit) for at in range(0, len(rows), limit)]
    return mx.concatenate([_attend(queries[part], rows[part], _part(newest, part), scale, sinks) for part in parts])


def _part(newest: Newest, rows: slice) -> Newest:
    return newest if not newest.num_tokens else Newest(newest.keys[rows], newest.values[rows], newest.num_tokens)


def _attend(
    queries: mx.array, rows: Sequence[RowArrays], newest: Newest, scale: float, sinks: mx.array | None
) -> mx.array:
    output: mx.array
    num_rows = len(rows)
    kind = HeadKind.of(queries, rows[0][0], rows[0][1], has_sinks=sinks is not None)
    num_slots = max(2, 1 << (num_rows - 1).bit_length())
    longest = max(end - first for _, _, first, end in rows) + newest.num_tokens
    num_splits = min(_MAX_SPLITS, -(-longest // _SPLIT_TOKENS))
    common = (num_splits, num_rows, newest.num_tokens)
    info = _info(num_slots, common, tuple([(first, end, keys.shape[2]) for keys, _, first, end in rows]))
    filler = [rows[0]] * (num_slots - num_rows)
    arrays = [array for keys, values, _, _ in (*rows, *filler) for array in (keys, values)]
    scores = sinks if sinks is not None else _scale(scale)
    is_direct = num_splits == 1
    shape = (num_rows, kind.num_heads, 1, kind.value_size)
    (output,) = _attend_kernel(num_slots)(
        inputs=[queries, _scale(scale), scores, info, newest.keys, newest.values, *arrays],
        template=[*_template(kind), ("OutT", kind.dtype if is_direct else mx.float32), ("DIRECT", is_direct)],
        grid=(kind.num_heads * 32 * _WARPS, num_rows, num_splits),
        threadgroup=(32 * _WARPS, 1, 1),
        output_shapes=[shape if is_direct else (num_splits, num_rows, kind.num_heads, kind.value_size + 2)],
        output_dtypes=[kind.dtype if is_direct else mx.float32],
    )
    return output if is_direct else _combined(output, scores, info, kind)


def _combined(parts: mx.array, sinks: mx.array, info: mx.array, kind: HeadKind) -> mx.array:
    """The attention of rows of which each split has been attended to on its own."""
    combined: mx.array
    num_rows = parts.shape[1]
    (combined,) = _combine_kernel()(
        inputs=[parts, sinks, info],
        template=_template(kind),
        grid=(kind.num_heads * kind.value_size, num_rows, 1),
        threadgroup=(kind.value_size, 1, 1),
        output_shapes=[(num_rows, kind.num_heads, 1, kind.value_size)],
        output_dtypes=[kind.dtype],
    )
    return combined


@lru_cache(maxsize=4)
def _info(num_slots: int, common: tuple[int, ...], rows: tuple[tuple[int, int, int], ...]) -> mx.array:
    """The numbers of splits, rows and newest tokens, then each row's first token, end and room. Layers share it."""
    numbers = [*common, *(number for row in rows for number in row)]
    return mx.array([*numbers, *[0] * (3 * num_slots + 8 - len(numbers))], mx.int32)


@cache
def _scale(scale: float) -> mx.array:
    """Eight times, since Metal places shorter inputs in another address space."""
    return mx.array([scale] * 8)


def _template(kind: HeadKind) -> list[tuple[str, Any]]:
    return [
        ("T", kind.dtype),
        ("HEADS", kind.num_heads),
        ("SHARING", kind.num_heads // kind.num_shared),
        ("SIZE", kind.key_size),
        ("VALUE_SIZE", kind.value_size),
        ("SINKS", kind.has_sinks),
        ("NEWEST", MAX_NEWEST),
    ]


@cache
def _attend_kernel(num_slots: int) -> Any:
    names = [f"{part}{slot}" for slot in range(num_slots) for part in ("keys_", "values_")]
    cases = "\n".join(
        f"case {slot}: keys = keys_{slot}; values = values_{slot}; break;" for slot in range(1, num_slots)
    )
    source = ATTEND.replace("CASES", cases).replace("NUM_WARPS", str(_WARPS))
    return _kernel(
        f"ragged_attention_{num_slots}",
        ["queries", "scale", "sinks", "info", "newest_keys", "newest_values", *names],
        source,
    )


@cache
def _combine_kernel() -> Any:
    return _kernel("ragged_combine", ["parts", "sinks", "info"], COMBINE)


def _kernel(name: str, inputs: list[str], source: str) -> Any:
    """MLX keeps compiled CUDA kernels by name, also on disk, so the name depends on the source."""
    backend = _backend()
    header = HEADERS[backend]
    digest = hashlib.sha256((header + source).encode()).hexdigest()[:12]
    make = mx.fast.cuda_kernel if backend == "cuda" else mx.fast.metal_kernel
    return make(name=f"{name}_{digest}", input_names=inputs, output_names=["out"], source=source, header=header)


def _is_exact(kind: HeadKind) -> bool:
    """Compare every kernel that requests may need, which also compiles them."""
    sizes = [size for size in (2, 4, 8, 16) if size <= MAX_ROWS[_backend()]]
    cases = [(size, longest) for size in sizes for longest in (40, _SPLIT_TOKENS + 99)]
    return all(_matches(kind, [longest, *range(size - 1, 0, -1)], num_newest=size % 3) for size, longest in cases)


def _matches(kind: HeadKind, lengths: Sequence[int], *, num_newest: int) -> bool:
    """Compare rows of random numbers with the stock operation in the same precision."""
    scale = kind.key_size**-0.5
    rows = [_random_row(kind, length) for length in lengths]
    late_keys, late_values = _random(kind, len(rows), MAX_NEWEST, seed=3)
    newest = Newest(late_keys, late_values, num_newest)
    queries = mx.random.normal((len(rows), kind.num_heads, 1, kind.key_size), key=mx.random.key(1)).astype(kind.dtype)
    sinks = mx.random.normal((kind.num_heads,), key=mx.random.key(2)).astype(kind.dtype) if kind.has_sinks else None
    expected = mx.concatenate(
        [
            mx.fast.scaled_dot_product_attention(query, *_attended(row, newest, index), scale=scale, sinks=sinks)
            for index, (query, row) in enumerate(zip(mx.split(queries, len(rows)), rows, strict=True))
        ]
    )
    difference = mx.max(mx.abs(attend_all(queries, rows, scale, sinks=sinks, newest=newest) - expected))
    return bool(difference <= _TOLERANCES[kind.dtype] * mx.max(mx.abs(expected)))


def _random_row(kind: HeadKind, length: int) -> RowArrays:
    """With room for more tokens than are filled, and, if it is long, some before its window."""
    keys, values = _random(kind, 1, length + 5, seed=length)
    return keys, values, min(7, length // 9), length


def _random(kind: HeadKind, num_rows: int, num_tokens: int, *, seed: int) -> list[mx.array]:
    """Keys and values [rows, heads, tokens, size]"""
    shapes = [(num_rows, kind.num_shared, num_tokens, size) for size in (kind.key_size, kind.value_size)]
    return [mx.random.normal(shape, key=mx.random.key(seed)).astype(kind.dtype) for shape in shapes]


def _attended(row: RowArrays, newest: Newest, index: int) -> list[mx.array]:
    """The keys and values that row `index` attends to."""
    keys, values, first, end = row
    pairs = [(keys, newest.keys), (values, newest.values)]
    return [
        mx.concatenate([held[:, :, first:end], late[index : index + 1, :, : newest.num_tokens]], axis=2)
        for held, late in pairs
    ]


@cache
def _backend() -> Backend:
    return device_info().backend
