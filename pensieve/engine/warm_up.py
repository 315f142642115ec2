"""Compiles GPU kernels while the model loads, so that the first request need not wait for it.

A kernel is compiled when it is first used: on CUDA once per machine, two minutes for all of them; on Metal in each
process. So this decodes a few answers, with each kind of sampler and with a grammar, and verifies drafts of each width.
A CPU compiles nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import mlx.core as mx

from contracts.values.vocabulary import ChatMessage, GenerationRequest, ModelFeature, Role, Sampling
from pensieve.core.drafts.length import WIDTHS
from pensieve.core.errors import DeviceError
from pensieve.engine.kv.rows.forms import leaves, runnable
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.memory.layout import new_caches
from pensieve.engine.memory.probe import Probe, lengthen
from pensieve.engine.prompt_cache.match import Match, MissReason
from pensieve.engine.requests.prompt import PreparedPrompt

if TYPE_CHECKING:
    from pensieve.engine.batch.batch import Batch
    from pensieve.engine.decoding.grammar_mask import Grammars
    from pensieve.models.loading.load import LoadedModel

log = logging.getLogger(__name__)

SLOW_SECONDS: Final = 5.0

_PROMPT_TOKENS: Final = 24
_OUTPUT_TOKENS: Final = 4
_DEEP_TOKENS: Final = 1000
"""After this many tokens, attention may use another kernel."""
_SAMPLINGS: Final = (
    Sampling(temperature=0.0),
    Sampling(temperature=1.0),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(temperature=1.0, top_k=40),
    Sampling(temperature=1.0, top_p=0.9, top_k=40),
    Sampling(temperature=1.0, min_p=0.05, repetition_penalty=1.1, presence_penalty=0.1),
)
"""One for each kind of sampler."""
_SCHEMA: Final = '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}'


@contextmanager
def log_if_slow(what: str, after_seconds: float = SLOW_SECONDS) -> Iterator[None]:
    """Log what is being done if it takes long, and again when it is done."""
    began = time.monotonic()
    timer = threading.Timer(after_seconds, log.warning, (f"{what}; the next start is faster",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
    if (seconds := time.monotonic() - began) > after_seconds:
        log.warning("%s: done in %.0f seconds", what, seconds)


def warm_up(
    model: LoadedModel, probe: Probe, batch: Batch, grammars: Grammars, *, kv_bits: int | None = None
) -> tuple[int, int]:
    """Run everything that requests may need once, on the thread that owns MLX. Return the numbers of tokens and passes.

    `batch` is empty, and is not used afterwards. Failures are logged, because requests may not need what failed.
    """
    try:
        return _run_once(model, probe, batch, grammars, kv_bits)
    except Exception:
        log.exception("warming up failed; the first requests that need the remaining kernels compile them")
        return 0, 0


def check(batch: Batch) -> None:
    """Compute a few tokens on an empty batch, which is not used afterwards.

    Raises:
        Exception: the model does not compute.
    """
    if not _answer(batch, [_prompt(_SAMPLINGS[0])]):
        raise DeviceError("the model computed a prompt and no token came out")


def _run_once(
    model: LoadedModel, probe: Probe, batch: Batch, grammars: Grammars, kv_bits: int | None
) -> tuple[int, int]:
    def constrained() -> list[PreparedPrompt]:
        if not model.supports(ModelFeature.JSON_MODE):
            return []
        prompt = _prompt(_SAMPLINGS[0], schema=_SCHEMA)
        return [replace(prompt, matcher=grammars.matcher_for(prompt.request, starts_thinking=False))]

    free = [_prompt(sampling) for sampling in _SAMPLINGS]
    groups = [*([prompt] for prompt in free), constrained(), [*free, *constrained()]]
    num_tokens = sum(_answer(batch, group[: batch.max_size]) for group in groups)
    return num_tokens, _verify_drafts(model, probe, kv_bits)


def _prompt(sampling: Sampling, schema: str | None = None) -> PreparedPrompt:
    message = ChatMessage(Role.USER, "Hello")
    request = GenerationRequest((message,), _OUTPUT_TOKENS, sampling, output_schema=schema)
    return PreparedPrompt(request, [0] * _PROMPT_TOKENS)


def _answer(batch: Batch, prompts: Sequence[PreparedPrompt]) -> int:
    """Answer the prompts in one batch. Return the number of sampled tokens."""
    nothing_cached, num_tokens = Match(0, None, MissReason.EMPTY), 0
    running = {batch.insert(prompt, _OUTPUT_TOKENS, nothing_cached) for prompt in prompts}
    for _ in range(_PROMPT_TOKENS + _OUTPUT_TOKENS):  # far more steps than necessary
        sampled = batch.step().sampled if running else []
        num_tokens += len(sampled)
        running -= {each.uid for each in sampled if each.computed is not None}
    batch.remove(list(running))
    return num_tokens


def _verify_drafts(model: LoadedModel, probe: Probe, kv_bits: int | None) -> int:
    """Run a pass of each draft width, and one with a deep cache. Return the number of passes."""
    held = new_caches(model, probe.rows, probe.forms, bits=kv_bits)
    caches = runnable(held)
    for width in WIDTHS:
        _pass(model, caches, width)
    for row in leaves(held):
        if type(row) is RowKV:
            lengthen(row, _DEEP_TOKENS, 1)
    _pass(model, caches, 1)
    return len(WIDTHS) + 1


def timed_prefill(model: LoadedModel, probe: Probe, *, kv_bits: int | None = None) -> tuple[int, float]:
    """The tokens of a prefill chunk and the seconds that they take, once its kernels are compiled. (0, 0.0): it failed.

    The prompt cache needs them before its first prompt: a GPU may compute keys and values faster than a disk reads
    them.
    """
    try:
        times = [_prefill_seconds(model, probe, kv_bits) for _ in range(2)]
    except Exception:
        log.exception("timing a prefill failed; the first prompts may be read from disk where computing is faster")
        return 0, 0.0
    return probe.chunk_tokens, times[-1]


def _prefill_seconds(model: LoadedModel, probe: Probe, kv_bits: int | None) -> float:
    caches = runnable(new_caches(model, probe.rows, probe.forms, bits=kv_bits))
    began = time.perf_counter()
    model.model(mx.zeros((1, probe.chunk_tokens), mx.int32), cache=caches)
    mx.eval([cache.state for cache in leaves(caches)])
    return time.perf_counter() - began


def _pass(model: LoadedModel, caches: list[Any], width: int) -> None:
    mx.eval(model.model(mx.zeros((1, width), mx.int32), cache=caches))
