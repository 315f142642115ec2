"""Kernels that requests will need, compiled while the model loads and not while somebody waits for an answer.

A GPU's kernels are compiled when they are first used: on CUDA for two minutes in all, once on a machine; on Metal in
each process. So a few answers are decoded that nobody reads, with each kind of sampler and held to a grammar, and
drafts of each width are checked. A CPU compiles nothing.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import mlx.core as mx

from contracts.values.vocabulary import ChatMessage, GenerationRequest, ModelFeature, Role, Sampling
from pensieve.core.drafts.length import WIDTHS
from pensieve.engine.memory.probe import Probe, lengthen, new_caches
from pensieve.engine.prompt_cache.match import Match, MissReason
from pensieve.engine.requests.ticket import Ticket

if TYPE_CHECKING:
    from pensieve.engine.batch.batch import Batch
    from pensieve.engine.decoding.grammar_mask import Grammars
    from pensieve.models.loading.load import LoadedModel

log = logging.getLogger(__name__)

SLOW_SECONDS: Final = 5.0

_PROMPT_TOKENS: Final = 24
_OUTPUT_TOKENS: Final = 4
_MANY_TOKENS: Final = 1000
"""Behind so many, one token's attention may be computed by another kernel."""
_SAMPLINGS: Final = (
    Sampling(temperature=0.0),
    Sampling(temperature=1.0),
    Sampling(temperature=1.0, top_p=0.9),
    Sampling(temperature=1.0, top_k=40),
    Sampling(temperature=1.0, top_p=0.9, top_k=40),
    Sampling(temperature=1.0, min_p=0.05, repetition_penalty=1.1),
)
"""One of each kind."""
_SCHEMA: Final = '{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}'


@contextmanager
def log_if_slow(what: str, after_seconds: float = SLOW_SECONDS) -> Iterator[None]:
    """Tell in the log what is being done, if it takes long, and when it is through."""
    began = time.monotonic()
    timer = threading.Timer(after_seconds, log.warning, (f"{what}; this is remembered, and quick the next time",))
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
    """Compute all that requests may ask for once, on the thread that owns MLX: the tokens and the passes that it took.

    `batch` is empty, and to be dropped afterwards. What fails here is logged: a request may do without it.
    """
    try:
        return _computed_once(model, probe, batch, grammars, kv_bits)
    except Exception:
        log.exception("warming up failed: what it left out is compiled by the first requests that need it")
        return 0, 0


def _computed_once(
    model: LoadedModel, probe: Probe, batch: Batch, grammars: Grammars, kv_bits: int | None
) -> tuple[int, int]:
    with closing(asyncio.new_event_loop()) as loop:

        def held() -> list[Ticket]:
            if not model.supports(ModelFeature.JSON_MODE):
                return []
            ticket = _ticket(loop, _SAMPLINGS[0], schema=_SCHEMA)
            ticket.matcher = grammars.matcher_for(ticket.request, starts_thinking=False)
            return [ticket]

        free = [_ticket(loop, sampling) for sampling in _SAMPLINGS]
        groups = [*([ticket] for ticket in free), held(), [*free, *held()]]
        num_tokens = sum(_answered(batch, group[: batch.max_size]) for group in groups)
    return num_tokens, _checked_drafts(model, kv_bits) if probe.sizes.in_rows else 0


def _ticket(loop: asyncio.AbstractEventLoop, sampling: Sampling, schema: str | None = None) -> Ticket:
    message = ChatMessage(Role.USER, "Hello")
    request = GenerationRequest((message,), _OUTPUT_TOKENS, sampling, output_schema=schema)
    return Ticket(request, [0] * _PROMPT_TOKENS, loop=loop)


def _answered(batch: Batch, tickets: Sequence[Ticket]) -> int:
    """Answer the tickets together: the tokens that they got."""
    running, num_tokens = {batch.insert(ticket, Match(0, None, MissReason.EMPTY)) for ticket in tickets}, 0
    for _ in range(_PROMPT_TOKENS + _OUTPUT_TOKENS):  # far more steps than it takes
        sampled, _ = batch.next() if running else ([], [])
        num_tokens += len(sampled)
        running -= {each.uid for each in sampled if each.computed is not None}
    batch.remove(list(running))
    return num_tokens


def _checked_drafts(model: LoadedModel, kv_bits: int | None) -> int:
    """A pass of each width that a draft may have, and one for a token behind many: the number of passes."""
    caches = new_caches(model, by_rows=True, bits=kv_bits)
    for width in WIDTHS:
        _pass(model, caches, width)
    for cache in caches:
        lengthen(cache.rows[0], _MANY_TOKENS, 1)
    _pass(model, caches, 1)
    return len(WIDTHS) + 1


def _pass(model: LoadedModel, caches: list[Any], width: int) -> None:
    mx.eval(model.model(mx.zeros((1, width), mx.int32), cache=caches))
