"""How the figures of the gates are taken: one stream over HTTP, and mlx-lm's own loop on the same model."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx

from pensieve.device import blas

if TYPE_CHECKING:
    from pensieve.models.loading.load import LoadedModel

CLIENT = httpx.Client(timeout=300, limits=httpx.Limits(max_connections=200))
"""One for all requests: making one reads every certificate of the system, which is no time of a server's."""

STORY = "Write a long story about a lighthouse keeper and the sea."
"""Free text at temperature 0: the embedded model writes hundreds of tokens to it."""

LINE = "The keeper of the lighthouse wrote down every ship that passed, and the weather, and the hour. "
"""Nineteen tokens."""
TEMPLATE_TOKENS = 30
"""What a chat template puts around a short prompt, about."""


@dataclass(frozen=True, slots=True)
class Timing:
    """One generation. Decoding is timed from the second token to the last, so that neither the prompt is in it nor what
    a server does to tell the first token early.
    """

    first_token_seconds: float
    decode_seconds: float
    output_tokens: int
    intervals_seconds: tuple[float, ...]

    @property
    def tokens_per_second(self) -> float:
        return (self.output_tokens - 2) / self.decode_seconds


def time_stream(url: str, prompt: str, max_tokens: int, **fields: Any) -> Timing:
    """Stream one answer at temperature 0 and time the arrival of its text. `fields` go into the request."""
    at: list[float] = []
    output_tokens = 0
    began = time.perf_counter()
    for event in _events(url, prompt, max_tokens, fields):
        if event.get("type") == "content_block_delta":
            at.append(time.perf_counter())
        elif event.get("type") == "message_delta":
            output_tokens = event["usage"]["output_tokens"]
    return _timing(began, at, output_tokens)


def arrivals(url: str, prompt: str, max_tokens: int) -> Iterator[float]:
    """When each piece of an answer's text arrives, while it arrives. Whoever stops listening ends the answer."""
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
    """The same answer by `mlx_lm.stream_generate`, in this process and on this thread, which must have loaded it."""
    from mlx_lm import stream_generate  # noqa: PLC0415 - only once it is imported harmlessly, which loading does

    token_ids = model.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)
    began = time.perf_counter()
    tokens = stream_generate(model.model, model.tokenizer, token_ids, max_tokens=max_tokens)
    arrivals = [time.perf_counter() for _ in tokens]
    return _timing(began, arrivals, len(arrivals))


def time_forward_passes(model: LoadedModel, prompt: str, max_tokens: int) -> Timing:
    """The same answer by forward passes and nothing else, in the form that the server found the quickest for a row by
    itself on these CPUs (`pensieve/engine/decoding/cpu_tuning.py`): with one thread, the row going in twice.

    On this thread, which must have loaded the model; its caches have to be such that the server has them in rows.
    """
    import mlx.core as mx  # noqa: PLC0415 - the BLAS comes first

    from pensieve.engine.decoding.decode_step import forward  # noqa: PLC0415
    from pensieve.engine.kv.rows import RowKV, RowsKV  # noqa: PLC0415

    token_ids = model.tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True)
    batch = SimpleNamespace(model=model.model, prompt_cache=[RowsKV([RowKV()]) for _ in model.model.layers])
    began = time.perf_counter()
    token = mx.argmax(forward(batch, mx.array([token_ids]), [len(token_ids)])[:, -1, :], axis=-1)
    mx.eval(token)
    arrivals = []
    blas.set_threads(1)
    for _ in range(max_tokens):
        following = mx.argmax(forward(batch, mx.stack([token, token], axis=1), [1])[:, 0, :], axis=-1)
        mx.async_eval(following)  # type: ignore[no-untyped-call]
        token.item()
        arrivals.append(time.perf_counter())
        token = following
    blas.set_threads(blas.preload().threads or 1)
    return _timing(began, arrivals, len(arrivals))


def make_prompt(model: LoadedModel, num_tokens: int) -> str:
    """A text that makes a prompt of about so many tokens, with what the chat template puts around it."""
    token_ids = model.tokenizer.encode(LINE * (num_tokens // 10))
    return str(model.tokenizer.decode(token_ids[: num_tokens - TEMPLATE_TOKENS], skip_special_tokens=True))


def _timing(began: float, arrivals: Sequence[float], output_tokens: int) -> Timing:
    intervals = tuple(after - before for before, after in itertools.pairwise(arrivals))
    return Timing(arrivals[0] - began, sum(intervals[1:]), output_tokens, intervals)
