"""Gives a waiting ticket what it needs to start: memory, or another request's prefill."""

from __future__ import annotations

from collections.abc import Collection

from contracts.values.vocabulary import Reservation
from pensieve.core.errors import InsufficientMemoryError
from pensieve.core.prefixes.sharing import worth_waiting_for
from pensieve.engine.batch.batch import Batch
from pensieve.engine.kv.sizes import KVSizes
from pensieve.engine.prompt_cache.match import Match
from pensieve.engine.prompt_cache.prompt_cache import PromptCache
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.running import RunningRequest
from pensieve.engine.requests.ticket import Ticket

MIN_SHORTENED_TOKENS = 4096
"""With less room than this, a request that may have more is refused for now instead."""


def reserve(
    ticket: Ticket, running: Collection[RunningRequest], sizes: KVSizes, prompt_cache: PromptCache
) -> tuple[Reservation, Match] | None:
    """Reserve a ticket's memory beside `running`, and match its prompt. None: there is no room now."""
    room = _room(ticket, running, sizes, prompt_cache)
    if room is not None or running:
        ticket.stream.admit()
    return room


def _room(
    ticket: Ticket, running: Collection[RunningRequest], sizes: KVSizes, prompt_cache: PromptCache
) -> tuple[Reservation, Match] | None:
    while True:
        try:
            num_bytes = _kv_bytes_for(ticket, running, sizes)
            return prompt_cache.admit(ticket.prompt.token_ids, num_bytes, namespace=ticket.prompt.namespace)
        except InsufficientMemoryError as error:
            if running or not _shortened(ticket.progress, sizes.max_tokens(error.available_bytes)):
                return None


def _kv_bytes_for(ticket: Ticket, running: Collection[RunningRequest], sizes: KVSizes) -> int:
    """The bytes to reserve for a ticket: enough for its prompt and its longest possible answer, beside `running`."""
    reserved_bytes = sum(each.reservation.num_bytes for each in running)
    reserved_tokens = [each.reserved_tokens for each in running]
    return max(1, sizes.joining(ticket.progress.max_total_tokens, reserved_tokens, reserved_bytes))


def _shortened(progress: AnswerProgress, num_tokens: int) -> bool:
    """Shorten the longest possible answer to the `num_tokens` that fit, if that leaves room for a useful one.

    A model's window is what fits when it is alone. Without this, a request that may fill the window would be refused
    for as long as another model is loaded.
    """
    answer_tokens = progress.max_answer_tokens - (progress.max_total_tokens - num_tokens)
    if not MIN_SHORTENED_TOKENS <= answer_tokens < progress.max_answer_tokens:
        return False
    progress.max_total_tokens = num_tokens
    return True


def waits_for_prefill(
    ticket: Ticket, running: Collection[RunningRequest], prompt_cache: PromptCache, batch: Batch
) -> bool:
    """Whether an ongoing prefill of its namespace will soon give the ticket more than the prompt cache can now (C6).

    Once that prefill is far enough, what it computed is stored, and the ticket waits no longer.
    """
    namespace = ticket.prompt.namespace
    prefills = [each.prefill for each in running if each.is_prefilling and each.ticket.prompt.namespace == namespace]
    if not prefills or not prompt_cache.limit_bytes:
        return False
    token_ids = ticket.prompt.token_ids
    prefill = worth_waiting_for(token_ids, prompt_cache.cached_tokens(token_ids, namespace=namespace), prefills)
    if prefill is None:
        return False
    if prefill.num_prefilled < prefill.usable_by(token_ids):
        return True
    if not prompt_cache.needs_snapshots:
        prompt_cache.keep(*batch.computed(prefill.uid), namespace=namespace)
    return False
