"""Continuous batching by mlx-lm's BatchGenerator, reduced to what the generation loop needs of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import mlx.core as mx

from contracts.vocabulary import Sampling
from pensieve.engine.batch_rows import view_rows
from pensieve.engine.forced import ForcedScript
from pensieve.engine.grammar import HeldToGrammar, ThinkingBudget
from pensieve.engine.kv_rows import RowKV
from pensieve.engine.output import Output
from pensieve.engine.speculation import Pace, Speculation
from pensieve.engine.ticket import Ticket
from pensieve.metal.device import device_info
from pensieve.models.text_decoder import TextDecoder

if TYPE_CHECKING:
    from pensieve.engine.kv_store import Match
    from pensieve.engine.load_probe import Probe
    from pensieve.engine.options import EngineOptions
    from pensieve.models.load import LoadedModel

Computed = tuple[list[int], list[Any]]
"""Token ids, and mlx-lm's caches that hold just these."""

FAILED = "failed"
"""The finish reason of a row whose grammar broke. It is still in the batch."""


class Sampled(NamedTuple):
    """`uid` is a row's number in the batch. `finish_reason` is mlx-lm's own ("stop", "length" or None), or FAILED.

    `computed` is the whole of a row that mlx-lm has taken out of the batch; a view, as of `Batch.computed`.
    """

    uid: int
    token_id: int
    finish_reason: str | None
    computed: Computed | None


class PromptRead(NamedTuple):
    """`num_tokens` of what was given to read are read; `at_stop` says that a stop, or the prompt, ends here."""

    uid: int
    num_tokens: int
    at_stop: bool
    is_whole: bool


_LEAST_SHARE = 8
"""Of a prompt, in tokens, in a step."""

SMALLEST_TEMPERATURE = 1e-3
"""Below it, log probabilities over the temperature leave float16's range: the likeliest token is all there is."""


class Batch:
    """Several requests decoded together. Made, used and dropped on the thread that owns MLX.

    `chunk_tokens` bounds how much is read in one step of all prompts together, and with it the memory that it takes and
    how long a cancellation or another stream's next token has to wait; it may be changed between steps. With `forced`,
    the script's words are sampled, and nothing else bears on them.
    """

    def __init__(
        self,
        model: LoadedModel,
        probe: Probe,
        options: EngineOptions,
        *,
        chunk_tokens: int,
        forced: ForcedScript | None = None,
    ) -> None:
        from mlx_lm.generate import BatchGenerator  # noqa: PLC0415 - transformers takes seconds to import

        self.max_size = options.max_batch_size
        self.chunk_tokens = chunk_tokens
        self._probe = probe
        self._kv_bits = options.kv_bits
        self._model = model
        self._forced = forced
        self._held: dict[int, HeldToGrammar] = {}
        self._generator = BatchGenerator(
            model.model,
            stop_tokens=[[token_id] for token_id in sorted(model.eos_token_ids)],
            completion_batch_size=self.max_size,
            prefill_batch_size=self.max_size,
            prefill_step_size=chunk_tokens,
            stream=mx.default_stream(mx.default_device()),
        )
        view_rows(self._generator._prompt_batch)
        view_rows(self._generator._generation_batch)

    def speculate(self, pace: Pace) -> None:
        """Decode what repeats several tokens at a time from now on, at the model's `pace`, which outlives the batch.

        Caches that are not in rows cannot be cut, so there this does nothing.
        """
        if self._probe.sizes.in_rows:
            self._speculation = Speculation(self._generator._generation_batch, pace)

    def insert(self, ticket: Ticket, match: Match, stops: Sequence[int] = ()) -> int:
        """Put a ticket into the batch, of whose prompt `match` is known; its number there.

        Reading halts at each of `stops`, which are token offsets in the prompt, so that the caches can be had as they
        are there.
        """
        matcher = ticket.matcher if self._forced is None else None
        held = HeldToGrammar(matcher, self._model.vocabulary_size) if matcher is not None else None
        numbers = self._generator.insert_segments(
            [_segments(ticket.prompt_token_ids, match.num_tokens, stops)],
            caches=[self._own_caches(ticket, match)],
            all_tokens=[ticket.prompt_token_ids[: match.num_tokens]],
            max_tokens=[ticket.request.max_tokens],
            samplers=[sampler_for(ticket.request.sampling, self._model.vocabulary_size)],
            logits_processors=[self._processors(ticket, held)],
        )
        if held is not None:
            self._held[int(numbers[0])] = held
        return int(numbers[0])

    def _own_caches(self, ticket: Ticket, match: Match) -> list[Any] | None:
        """What the request begins with: in rows, with room for its prompt; else in mlx-lm's form, None for nothing."""
        known = match.caches
        if not self._probe.sizes.in_rows:
            return known and [each.as_kv_cache() if isinstance(each, RowKV) else each for each in known]
        room = len(ticket.prompt_token_ids)
        return known or [RowKV(bits=self._kv_bits, least_room=room) for _ in self._probe.sizes.layers]

    def _processors(self, ticket: Ticket, held: HeldToGrammar | None) -> list[Any]:
        if self._forced is not None:
            return [self._forced.processor_for(ticket.request)]
        return [*([held] if held else []), *self._thinking_budget(ticket)]

    def _thinking_budget(self, ticket: Ticket) -> list[ThinkingBudget]:
        budget, close_ids = ticket.request.thinking.budget_tokens, self._model.tokenizer.think_end_tokens
        return [ThinkingBudget(budget, close_ids)] if budget and close_ids and ticket.starts_thinking else []

    def next(self) -> tuple[list[Sampled], list[PromptRead]]:
        """One decode step for all that are decoding, then one chunk for those whose prompt is not read yet.

        A step may bring several tokens of a row, in their order; the last one says whether the row ended.
        """
        self._generator.prefill_step_size = self._share()
        read, responses = self._generator.next()
        sampled = [
            Sampled(
                response.uid,
                response.token,
                self._reason(response),
                (list(response.all_tokens), response.prompt_cache) if response.prompt_cache is not None else None,
            )
            for response in responses
        ]
        return sampled, [
            PromptRead(each.uid, each.progress[0], each.end_of_segment, each.end_of_prompt) for each in read
        ]

    def _share(self) -> int:
        """The tokens of each prompt that are read in the next step: a chunk, shared by those that are being read."""
        depths = [len(tokens) for tokens in self._generator._prompt_batch.tokens]
        depths += [len(waiting[4]) for waiting in self._generator._unprocessed_sequences]
        chunk = self._probe.chunk_at(max(depths, default=0), self.chunk_tokens)
        while len(depths) > 1 and chunk > _LEAST_SHARE and chunk * len(depths) > self.chunk_tokens:
            chunk //= 2
        if device_info().backend == "cuda":
            # Plans are made for each length of a chunk that is met: what is left of a prompt is read by powers of two.
            left = max((len(processed[0][0]) for processed in self._generator._currently_processing), default=chunk)
            while chunk > max(left, _LEAST_SHARE):
                chunk //= 2
        return chunk

    def computed(self, uid: int) -> Computed:
        """What is computed of a row that is in the batch. To be used before the next step: it may be a view."""
        caches, token_ids = self._generator.extract_cache([uid])[uid]
        return list(token_ids), caches

    def remove(self, uids: list[int]) -> dict[int, Computed]:
        """Take rows out; what was computed of each."""
        found = self._generator.remove(uids, return_prompt_caches=True)
        for uid in uids:
            self._held.pop(uid, None)
        return {uid: (list(token_ids), caches) for uid, (caches, token_ids) in found.items()}

    def new_output(self, ticket: Ticket) -> Output:
        return Output(ticket, TextDecoder(self._model.tokenizer, self._model.dialect.control_ids), self._model.dialect)

    def _reason(self, response: Any) -> str | None:
        held = self._held.get(response.uid)
        if held is not None and held.failed:
            return FAILED
        if response.finish_reason is not None:
            self._held.pop(response.uid, None)
        reason: str | None = response.finish_reason
        return reason

    @property
    def kv_cache_bytes(self) -> int:
        """Bytes of the caches of everything in the batch."""
        return int(self._generator.prompt_cache_nbytes)


def _segments(token_ids: list[int], start: int, stops: Sequence[int]) -> list[list[int]]:
    ends = sorted({stop for stop in stops if start < stop < len(token_ids)})
    return [token_ids[begin:end] for begin, end in pairwise([start, *ends, len(token_ids)])]


@lru_cache(maxsize=256)
def sampler_for(sampling: Sampling, vocabulary_size: int) -> Any:
    """mlx-lm's sampler, never raising: an exception in one row's sampler would lose the other rows of its batch.

    Equal settings share one sampler, since a batch with one sampler is sampled in one call. mlx-lm refuses a top_k of
    the whole vocabulary, takes a top_p of 0.0 for "off" where the API asks for the likeliest token alone, and divides
    by a temperature however small.
    """
    from mlx_lm.sample_utils import make_sampler  # noqa: PLC0415 - transformers takes seconds to import

    top_k = sampling.top_k if sampling.top_k is not None and sampling.top_k < vocabulary_size else 0
    top_p = 1.0 if sampling.top_p is None else max(sampling.top_p, 1e-6)
    temperature = sampling.temperature if sampling.temperature >= SMALLEST_TEMPERATURE else 0.0
    return make_sampler(temp=temperature, top_p=top_p, top_k=top_k)
