"""Measures how much memory a model's prefill takes, and whether it can be batched, by running it (S7).

The bytes that a prefill chunk takes depend on MLX's kernels, so they do not follow from the config. They are measured
on this device when the model is loaded, and cached, because that takes seconds on a CPU.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast

import mlx.core as mx
import pydantic

from pensieve.core.errors import ModelLoadingError
from pensieve.device.checked_kernels import CHECKED_KERNELS
from pensieve.device.device import Backend, device_info
from pensieve.engine.kv.batch_check import WARNINGS, Batching
from pensieve.engine.kv.ragged_attention import MAX_NEWEST
from pensieve.engine.kv.rows.forms import ATTENDING, RowForms, leaves, runnable
from pensieve.engine.kv.rows.layers.take_rows import let_layers_take_rows
from pensieve.engine.kv.rows.row import RowKV, room_for
from pensieve.engine.kv.sizes import KVSizes, measured_sizes
from pensieve.engine.memory.layout import Layout, Rows, in_words, layout_of, new_caches
from pensieve.models.files.memo import Memo

if TYPE_CHECKING:
    from pensieve.device.memory.device_memory import DeviceMemory
    from pensieve.models.loading.load import LoadedModel

log = logging.getLogger(__name__)

CHUNK_TOKENS: Final[Mapping[Backend, int]] = {"cpu": 128, "metal": 512, "cuda": 2048}
"""The prefill chunk. On a CPU, larger chunks are not faster, and other requests would wait for seconds; on a GPU,
smaller chunks do not use it fully. Metal's value is a guess between the two, not measured.
"""
ACTIVATIONS_SHARE: Final = 0.1
"""The share of the memory limit that prefill may take."""

FULL_CHUNK_TOKENS: Final = 4096
"""Up to this depth, prompts are prefilled in full chunks; deeper ones may need smaller chunks."""
_DEEP_CHUNKS: Final = 4
"""The depth of the second measurement, in chunks."""
_FIRST_CHUNK_TOKENS: Final = 512
"""The chunk of the first measurement, which decides how large a chunk may be."""
_MIN_CHUNK_TOKENS: Final = 32
"""Smaller chunks are too slow, whatever the memory."""
_VERSION: Final = 2
"""Of what is measured: raised when models get rows that did not have them, so that they are measured again."""
_NO_KV_BITS: Final = (
    "it has sliding windows or recurrent layers, whose keys and values cannot be quantised: serve it without --kv-bits"
)


@dataclass(frozen=True, slots=True)
class Probe:
    """`chunk_bytes` is MLX's peak memory, without weights and KV, for a prefill chunk of `chunk_tokens`;
    `deep_chunk_bytes` is the same after `context_tokens`. `batching` is what the model computes correctly for several
    requests at once, and `rows` are the layers whose caches are rows, in their `forms`: those of attention, or none.
    "all" means caches that keep every token, in every layer.
    """

    chunk_tokens: int
    chunk_bytes: int
    context_tokens: int
    deep_chunk_bytes: int
    sizes: KVSizes
    batching: Batching = "whole"
    rows: Rows = "all"
    forms: RowForms = ATTENDING

    @property
    def activation_bytes(self) -> int:
        """The bytes to reserve for prefill."""
        return max(1, int(self._bytes_at(FULL_CHUNK_TOKENS, self.chunk_tokens)))

    def max_chunk_at(self, context_tokens: int, chunk_tokens: int) -> int:
        """The largest chunk after `context_tokens` that fits into `activation_bytes`.

        Kernels that materialise attention scores take more memory the deeper the prompt is: there the chunk is halved,
        but never below 16 tokens, which would be too slow.
        """
        while chunk_tokens > 16 and self._bytes_at(context_tokens, chunk_tokens) > self.activation_bytes:
            chunk_tokens //= 2
        return chunk_tokens

    def _bytes_at(self, context_tokens: int, chunk_tokens: int) -> float:
        deeper = max(0.0, self.deep_chunk_bytes - self.chunk_bytes) / max(1, self.context_tokens)
        return (self.chunk_bytes + deeper * context_tokens) * chunk_tokens / self.chunk_tokens


_PROBE: Final = pydantic.TypeAdapter(Probe)


def probe(
    model: LoadedModel, memory: DeviceMemory, *, chunk_tokens: int, max_bytes: int, kv_bits: int | None = None
) -> Probe:
    """Measure the model, or return its cached measurements. On the thread that owns MLX.

    The chunk has `chunk_tokens`, or fewer if they would take more than `max_bytes`.
    """
    let_layers_take_rows(model.model)
    memo, key = Memo("probes.json"), _key(model, chunk_tokens, max_bytes, kv_bits)
    try:
        return kept_probe(memo.read()[key])
    except (KeyError, TypeError, ValueError):
        is_quiet = memory.is_quiet
        found = _probe(model, memory, (chunk_tokens, max_bytes), kv_bits)
        if is_quiet:  # else allocations of other threads are part of the measurement
            memo.add({key: asdict(found)})
        return found


def report_limitations(name: str, found: Probe, *, kv_bits: int | None) -> None:
    """Log what the model cannot do for several requests at once, and let `/health` say how it attends to them.

    Raises:
        ModelLoadingError: `kv_bits` is set, and the model's keys and values cannot be quantised.
    """
    CHECKED_KERNELS.note(f"attention of {name}", in_words(Layout(found.rows, found.batching, found.forms), found.sizes))
    if found.batching != "whole":
        log.warning(WARNINGS[found.batching], name)
    if kv_bits and found.rows != "all":
        raise ModelLoadingError(name, _NO_KV_BITS)


def _probe(model: LoadedModel, memory: DeviceMemory, limits: tuple[int, int], kv_bits: int | None) -> Probe:
    layout = layout_of(model)
    max_tokens, max_bytes = min(limits[0], max(1, model.context_window_tokens - 1)), limits[1]
    chunk_tokens = min(max_tokens, _FIRST_CHUNK_TOKENS)
    found = _measure(model, memory, (chunk_tokens, max_bytes), layout=layout, kv_bits=kv_bits)
    while chunk_tokens > _MIN_CHUNK_TOKENS and found.activation_bytes > max_bytes:
        chunk_tokens //= 2
        found = _measure(model, memory, (chunk_tokens, max_bytes), layout=layout, kv_bits=kv_bits)
    while 2 * chunk_tokens <= max_tokens and found.activation_bytes * 2 <= max_bytes:
        chunk_tokens *= 2
        larger = _measure(model, memory, (chunk_tokens, max_bytes), layout=layout, kv_bits=kv_bits)
        if larger.activation_bytes > max_bytes:
            break
        found = larger
    return found


def _measure(
    model: LoadedModel, memory: DeviceMemory, limits: tuple[int, int], *, layout: Layout, kv_bits: int | None
) -> Probe:
    """Prefill two chunks of `limits[0]` tokens: one at the start, and one as deep as memory allows."""
    chunk_tokens, max_bytes = limits
    held = new_caches(model, layout.rows, layout.forms, bits=kv_bits)
    caches = runnable(held)
    chunk_bytes = deep_bytes = _extra_bytes(model, memory, caches, chunk_tokens)
    sizes = measured_sizes(held, chunk_tokens=chunk_tokens)
    deepened = [each for each in leaves(held) if type(each) is RowKV]
    context_tokens = _context_for(model, sizes, chunk_tokens, max_bytes) if deepened else 0
    if context_tokens:
        for row in deepened:
            lengthen(row, context_tokens, chunk_tokens)
        deep_bytes = _extra_bytes(model, memory, caches, chunk_tokens)
    rows, batching, forms = layout
    return Probe(chunk_tokens, chunk_bytes, context_tokens, deep_bytes, sizes, batching, rows, forms)


def _context_for(model: LoadedModel, sizes: KVSizes, chunk_tokens: int, max_bytes: int) -> int:
    """The depth of the second chunk, limited by the window and by memory."""
    fitting = max(0, sizes.max_tokens(max_bytes) - 2 * chunk_tokens)
    return max(0, min(_DEEP_CHUNKS * chunk_tokens, model.context_window_tokens - chunk_tokens, fitting))


def kept_probe(entry: Any) -> Probe:
    """
    Raises:
        TypeError, ValueError: the entry is damaged, or of another version.
    """
    found = _PROBE.validate_python({"rows": None, "forms": None, **entry})  # older versions had none
    if found.chunk_tokens < 1 or min(found.chunk_bytes, found.deep_chunk_bytes, found.context_tokens) < 0:
        raise ValueError("a size is negative")
    return found


def lengthen(row: RowKV, num_tokens: int, num_next: int) -> None:
    """Append `num_tokens` zeros, with room for `num_next` more: memory does not depend on the values."""
    row.offset += num_tokens
    room = room_for(row.offset + num_next)
    row.arrays = tuple(mx.zeros((*array.shape[:2], room, array.shape[3]), array.dtype) for array in row.arrays)
    mx.eval(row.arrays)


def _extra_bytes(model: LoadedModel, memory: DeviceMemory, caches: Sequence[Any], chunk_tokens: int) -> int:
    """The peak memory while a chunk is prefilled, beyond what was and stays allocated."""
    tokens = mx.zeros((1, chunk_tokens), mx.int32)
    mx.eval(tokens)
    mx.clear_cache()
    with memory.measured_peak() as peak:
        model.model(tokens, cache=caches)
        mx.eval([cache.state for cache in leaves(caches)])
    return max(0, peak.bytes - mx.get_active_memory())


def _key(model: LoadedModel, *limits: int | None) -> str:
    from mlx.utils import tree_flatten  # noqa: PLC0415 - the BLAS comes first

    arrays = cast("list[tuple[str, mx.array]]", tree_flatten(model.model.parameters()))
    shapes = [(name, str(array.dtype), array.shape) for name, array in arrays]
    device = device_info()
    versions = [_VERSION, MAX_NEWEST, version("mlx"), version("mlx-lm")]
    parts = [*versions, model.config, shapes, limits, device.backend, device.chip]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]
