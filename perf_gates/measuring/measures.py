"""Times one generation: over HTTP, by mlx-lm's own loop, and by forward passes alone."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import httpx

from pensieve.device import blas
from pensieve.device.device import device_info

if TYPE_CHECKING:
    import mlx.core as mx

    from pensieve.models.loading.load import LoadedModel

CLIENT = httpx.Client(timeout=300, limits=httpx.Limits(max_connections=200))
"""Shared by all requests, because creating a client loads the system's certificates, which would be timed as well."""

STORY = "Write a long story about a lighthouse keeper and the sea."
"""A prompt that the embedded model answers with hundreds of tokens at temperature 0."""

LINE = "The keeper of the lighthouse wrote down every ship that passed, and the weather, and the hour. "
"""Nineteen tokens."""
TEMPLATE_TOKENS = 30
"""Approximate number of tokens that a chat template adds to a prompt."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One generation.

    Decoding is timed from the second token to the last. That excludes prefill, and whatever a server does to send its
    first token early.
    """

    first_token_seconds: float
    decode_seconds: float
    output_tokens: int
    intervals_seconds: tuple[float, ...]

    @property
    def tokens_per_second(self) -> float:
        return (self.output_tokens - 2) / self.decode_seconds


def time_stream(url: str, prompt: str, max_tokens: int, **fields: Any) -> Timing:
    """Stream one answer at temperature 0 and time the arrival of its text. `fields` are added to the request."""
    arrived_at: list[float] = []
    output_tokens = 0
    began = time.perf_counter()
    for event in _events(url, prompt, max_tokens, fields):
        if event.get("type") == "content_block_delta":
            arrived_at.append(time.perf_counter())
        elif event.get("type") == "message_delta":
            output_tokens = event["usage"]["output_tokens"]
    return _timing(began, arrived_at, output_tokens)


def arrival_times(url: str, prompt: str, max_tokens: int) -> Iterator[float]:
    """Yield the time of each text delta as it arrives. Closing the iterator cancels the request."""
    for event in _events(url, prompt, max_tokens, {}):
        if event.get("type") == "content_block_delta":
            yield time.perf_counter()


def _events(url: str, prompt: str, max_tokens: int, fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    body = {
        "model": "claude-any",
        "max_tokens": max_tokens,
        "temperature": 0,
        "stream": True,
        "messages": [{"role": "user", "content": prompt}],
        **fields,
    }
    with CLIENT.stream("POST", f"{url}/v1/messages", json=body) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


def time_mlx_lm(model: LoadedModel, prompt: str, max_tokens: int) -> Timing:
    """Time `mlx_lm.stream_generate`. Call it on the thread that loaded the model."""
    from mlx_lm import stream_generate  # noqa: PLC0415 - after `import_mlx_lm`, which `load` calls

    token_ids = model.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)
    tokenizer = _wrapped(model.tokenizer.tokenizer)
    began = time.perf_counter()
    tokens = stream_generate(model.model, tokenizer, token_ids, max_tokens=max_tokens)
    arrived_at = [time.perf_counter() for _ in tokens]
    return _timing(began, arrived_at, len(arrived_at))


@cache
def _wrapped(tokenizer: Any) -> Any:
    """mlx-lm's wrapper with the detokenizer that it picks for the embedded model and for the shapes."""
    from mlx_lm.tokenizer_utils import BPEStreamingDetokenizer, TokenizerWrapper  # noqa: PLC0415

    return TokenizerWrapper(tokenizer, BPEStreamingDetokenizer)


def time_forward_passes(model: LoadedModel, prompt: str, max_tokens: int) -> Timing:
    """Time forward passes and greedy sampling without anything else.

    With plain KV caches on a CPU, uses the form that is fastest for a single row there
    (`pensieve/engine/decoding/cpu_tuning.py`): one BLAS thread and the row duplicated. Call it on the thread that
    loaded the model.
    """
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first

    forward, copies = _forward_of(model)
    token_ids = model.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)
    began = time.perf_counter()
    token = mx.argmax(forward(mx.array([token_ids]), [len(token_ids)])[:, -1, :], axis=-1)
    mx.eval(token)
    arrived_at = []
    blas.set_threads(1)
    for _ in range(max_tokens):
        following = mx.argmax(forward(mx.stack([token] * copies, axis=1), [1])[:, 0, :], axis=-1)
        mx.async_eval(following)  # type: ignore[no-untyped-call]
        token.item()
        arrived_at.append(time.perf_counter())
        token = following
    blas.set_threads(blas.preload().threads or 1)
    return _timing(began, arrived_at, len(arrived_at))


def _forward_of(model: LoadedModel) -> tuple[Callable[[mx.array, Sequence[int]], mx.array], int]:
    """A function from token ids [1, tokens] and how many of them count to logits, and how often to repeat a token."""
    from pensieve.device.mlx_lm import caches as mlx_lm_caches  # noqa: PLC0415 - after `import_mlx_lm`
    from pensieve.engine.decoding.decoding_rows import DecodingRows  # noqa: PLC0415
    from pensieve.engine.kv.batch_caches import BatchCaches  # noqa: PLC0415
    from pensieve.engine.kv.rows.batch import RowsKV  # noqa: PLC0415
    from pensieve.engine.kv.rows.row import RowKV  # noqa: PLC0415
    from pensieve.engine.kv.snapshots import has_growing_layout  # noqa: PLC0415

    caches = mlx_lm_caches.new_caches(model.model)
    if device_info().backend != "cpu" or not has_growing_layout(caches):
        return lambda token_ids, _: model.model(token_ids, cache=caches), 1
    rows = DecodingRows(model.model, (), BatchCaches([RowsKV([RowKV()]) for _ in model.model.layers]))
    return rows.forward, 2


def make_prompt(model: LoadedModel, num_tokens: int) -> str:
    """A text that makes a prompt of about `num_tokens` tokens, chat template included."""
    token_ids = model.tokenizer.encode(LINE * (num_tokens // 10))
    return str(model.tokenizer.decode(token_ids[: num_tokens - TEMPLATE_TOKENS], skip_special_tokens=True))


def _timing(began: float, arrived_at: Sequence[float], output_tokens: int) -> Timing:
    intervals = tuple(after - before for before, after in itertools.pairwise(arrived_at))
    return Timing(arrived_at[0] - began, sum(intervals[1:]), output_tokens, intervals)
