"""What a model needs besides its weights, and what it can, found out by running it (S7).

Nobody can tell from a config how many bytes it takes to read a chunk of a prompt: that is up to MLX's kernels. So it is
measured, on this device, when the model is loaded; and remembered, since on a CPU it takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast

import mlx.core as mx

from pensieve.core.errors import ModelLoadingError
from pensieve.device.device import Backend, device_info
from pensieve.engine.kv.batch_check import TOLERANCE, WARNINGS, Batching, batching_of
from pensieve.engine.kv.rows import RowKV, RowsKV, room_for
from pensieve.engine.kv.sizes import KVSizes, LayerKV, measured_sizes
from pensieve.engine.kv.snapshots import has_growing_layout
from pensieve.models.files.memo import Memo

if TYPE_CHECKING:
    from pensieve.device.memory.device_memory import DeviceMemory
    from pensieve.models.loading.load import LoadedModel

log = logging.getLogger(__name__)

CHUNK_TOKENS: Final[Mapping[Backend, int]] = {"cpu": 128, "metal": 512, "cuda": 2048}
"""A step's share of a prompt. A CPU gains nothing by more, and others would wait for seconds; a GPU is not filled by
less. Metal's lies between them and is not measured: no Mac was at hand."""
ACTIVATIONS_SHARE: Final = 0.1
"""Of the memory that reading prompts may take."""

FULL_CHUNK_TOKENS: Final = 4096
"""A prompt is read in whole chunks up to there; beyond, kernels may want smaller ones."""
_DEEP_CHUNKS: Final = 4
"""What comes before the chunk that is measured the second time, in chunks."""
_FIRST_CHUNK_TOKENS: Final = 512
"""Measured first: from it one can tell how large a chunk may be."""
_MIN_CHUNK_TOKENS: Final = 32
"""Under that a prompt takes for ever, whatever the memory."""
_NO_KV_BITS: Final = (
    "its layers do not all keep the keys and values of every token (it has sliding windows or recurrent layers), and "
    "others cannot be quantised: serve it without --kv-bits"
)
_LONG, _SHORT = (1, 2, 3, 4, 5), (6, 7, 8)


@dataclass(frozen=True, slots=True)
class Probe:
    """`chunk_bytes`: the most that MLX held beside weights, keys and values while it read a chunk of `chunk_tokens`;
    `deep_chunk_bytes`: the same with `context_tokens` before it. `sizes` are those of its caches. Of what goes beyond
    its `batching`, the model computes something else for several requests than for each alone, or fails.
    """

    chunk_tokens: int
    chunk_bytes: int
    context_tokens: int
    deep_chunk_bytes: int
    sizes: KVSizes
    batching: Batching = "whole"

    @property
    def activation_bytes(self) -> int:
        """To be held ready for reading prompts."""
        return max(1, int(self._bytes_at(FULL_CHUNK_TOKENS, self.chunk_tokens)))

    def max_chunk_at(self, context_tokens: int, chunk_tokens: int) -> int:
        """How much of a prompt may be read at once after so many tokens, for it to take no more than is held ready.

        Kernels that hold the scores of a chunk's tokens with all before them take more the more there are: there the
        chunk is halved. Never under 16, at which the reading would go on for ever.
        """
        while chunk_tokens > 16 and self._bytes_at(context_tokens, chunk_tokens) > self.activation_bytes:
            chunk_tokens //= 2
        return chunk_tokens

    def _bytes_at(self, context_tokens: int, chunk_tokens: int) -> float:
        deeper = max(0.0, self.deep_chunk_bytes - self.chunk_bytes) / max(1, self.context_tokens)
        return (self.chunk_bytes + deeper * context_tokens) * chunk_tokens / self.chunk_tokens


def probe(
    model: LoadedModel, memory: DeviceMemory, *, chunk_tokens: int, max_bytes: int, kv_bits: int | None = None
) -> Probe:
    """The model's figures, measured or remembered. On the thread that owns MLX.

    The chunk is of `chunk_tokens`, or of so many less that it takes no more than `max_bytes`.
    """
    memo, key = Memo("probes.json"), _key(model, chunk_tokens, max_bytes, kv_bits)
    try:
        return _from_json(memo.read()[key])
    except (KeyError, TypeError):
        alone = memory.is_quiet
        found = _probe(model, memory, (chunk_tokens, max_bytes), kv_bits)
        if alone:  # what others did meanwhile would be in the figures for good
            memo.add({key: asdict(found)})
        return found


def report_limitations(name: str, found: Probe, *, kv_bits: int | None) -> None:
    """Tell in the log what is not done for several requests together.

    Raises:
        ModelLoadingError: its keys and values cannot be quantised, and were to be.
    """
    if found.batching != "whole":
        log.warning(WARNINGS[found.batching], name)
    if kv_bits and not found.sizes.in_rows:
        raise ModelLoadingError(name, _NO_KV_BITS)


def _probe(model: LoadedModel, memory: DeviceMemory, wanted: tuple[int, int], kv_bits: int | None) -> Probe:
    from mlx_lm.models.cache import make_prompt_cache  # noqa: PLC0415 - transformers takes seconds to import

    in_rows = has_growing_layout(make_prompt_cache(model.model)) and rows_say_the_same(model)
    max_tokens, max_bytes = min(wanted[0], max(1, model.context_window_tokens - 1)), wanted[1]
    chunk_tokens = min(max_tokens, _FIRST_CHUNK_TOKENS)
    found = _measured(model, memory, (chunk_tokens, max_bytes), in_rows=in_rows, kv_bits=kv_bits)
    while chunk_tokens > _MIN_CHUNK_TOKENS and found.activation_bytes > max_bytes:
        chunk_tokens //= 2
        found = _measured(model, memory, (chunk_tokens, max_bytes), in_rows=in_rows, kv_bits=kv_bits)
    while 2 * chunk_tokens <= max_tokens and found.activation_bytes * 2 <= max_bytes:
        chunk_tokens *= 2
        larger = _measured(model, memory, (chunk_tokens, max_bytes), in_rows=in_rows, kv_bits=kv_bits)
        if larger.activation_bytes > max_bytes:
            break
        found = larger
    return found if in_rows else replace(found, batching=batching_of(model.model))


def _measured(
    model: LoadedModel, memory: DeviceMemory, wanted: tuple[int, int], *, in_rows: bool, kv_bits: int | None
) -> Probe:
    """Two chunks of `wanted[0]` tokens read: one at the beginning, and one after as many as memory has room for."""
    chunk_tokens, max_bytes = wanted
    caches = new_caches(model, by_rows=in_rows, bits=kv_bits)
    chunk_bytes = deep_bytes = _extra_bytes(model, memory, caches, chunk_tokens)
    held = [cache.rows[0] for cache in caches] if in_rows else caches
    sizes = measured_sizes(held, in_rows=in_rows, chunk_tokens=chunk_tokens)
    context_tokens = _context_for(model, sizes, chunk_tokens, max_bytes) if in_rows else 0
    if context_tokens:
        for row in held:
            lengthen(row, context_tokens, chunk_tokens)
        deep_bytes = _extra_bytes(model, memory, caches, chunk_tokens)
    return Probe(chunk_tokens, chunk_bytes, context_tokens, deep_bytes, sizes)


def _context_for(model: LoadedModel, sizes: KVSizes, chunk_tokens: int, max_bytes: int) -> int:
    """How many tokens may stand before the second chunk: no more than the window has, or memory room for."""
    most = max(0, sizes.max_tokens(max_bytes) - 2 * chunk_tokens)
    return max(0, min(_DEEP_CHUNKS * chunk_tokens, model.context_window_tokens - chunk_tokens, most))


def _from_json(fact: dict[str, Any]) -> Probe:
    sizes, _ = fact.pop("sizes"), fact["batching"]
    layers = tuple(LayerKV(**layer) for layer in sizes["layers"])
    return Probe(**fact, sizes=KVSizes(layers, bool(sizes["in_rows"])))


def new_caches(model: LoadedModel, *, by_rows: bool, bits: int | None) -> list[Any]:
    from mlx_lm.models.cache import make_prompt_cache  # noqa: PLC0415 - transformers takes seconds to import

    caches: list[Any] = make_prompt_cache(model.model)
    return [RowsKV([RowKV(bits=bits)]) for _ in caches] if by_rows else caches


def lengthen(row: RowKV, num_tokens: int, num_next: int) -> None:
    """As if so many tokens more had been read, with room for the next. What they say does not matter to how much
    memory they take.
    """
    row.offset += num_tokens
    room = room_for(row.offset + num_next)
    row.arrays = tuple(mx.zeros((*array.shape[:2], room, array.shape[3]), array.dtype) for array in row.arrays)
    mx.eval(row.arrays)


def _extra_bytes(model: LoadedModel, memory: DeviceMemory, caches: Sequence[Any], chunk_tokens: int) -> int:
    """What is held at most while a chunk is read, beyond what was and what stays."""
    tokens = mx.zeros((1, chunk_tokens), mx.int32)
    mx.eval(tokens)
    mx.clear_cache()
    with memory.measured_peak() as peak:
        model.model(tokens, cache=caches)
        mx.eval([cache.state for cache in caches])
    return max(0, peak.bytes - mx.get_active_memory())


def rows_say_the_same(model: LoadedModel) -> bool:
    """Whether two requests in one batch of `RowsKV`, read and continued, say what each says alone."""
    try:
        together = _continued_together(model)
    except Exception:  # a model that does something else with its cache fails in ways of its own
        return False
    alone = [_continued_alone(model, prompt) for prompt in (_LONG, _SHORT)]
    return all(
        bool(mx.max(mx.abs(one - other)) <= TOLERANCE * mx.max(mx.abs(one)))
        for one, other in zip(alone, together, strict=True)
    )


def _continued_alone(model: LoadedModel, prompt: Sequence[int]) -> mx.array:
    from mlx_lm.models.cache import make_prompt_cache  # noqa: PLC0415 - transformers takes seconds to import

    caches = make_prompt_cache(model.model)
    model.model(mx.array([prompt]), cache=caches)
    logits: mx.array = model.model(mx.array([[9]]), cache=caches)[0, -1].astype(mx.float32)
    return logits


def _continued_together(model: LoadedModel) -> list[mx.array]:
    caches = new_caches(model, by_rows=True, bits=None)
    padding = len(_LONG) - len(_SHORT)
    for cache in caches:
        cache.rows.append(RowKV())
        cache.prepare(lengths=[len(_LONG), len(_SHORT)], right_padding=[0, padding])
    model.model(mx.array([_LONG, (*_SHORT, *[0] * padding)]), cache=caches)
    for cache in caches:
        cache.finalize()
    logits = model.model(mx.array([[9], [9]]), cache=caches)[:, -1].astype(mx.float32)
    return [logits[0], logits[1]]


def _key(model: LoadedModel, *wanted: int | None) -> str:
    from mlx.utils import tree_flatten  # noqa: PLC0415 - the BLAS comes first

    arrays = cast("list[tuple[str, mx.array]]", tree_flatten(model.model.parameters()))
    shapes = [(name, str(array.dtype), array.shape) for name, array in arrays]
    device = device_info()
    parts = [model.config, shapes, wanted, device.backend, device.chip, version("mlx"), version("mlx-lm")]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:32]
