"""Continuous batching with mlx-lm's BatchGenerator, behind the few methods that the generation loop needs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import mlx.core as mx

from pensieve.core.scheduling.validation import thinking_tokens
from pensieve.engine.batch.prefill_planner import MIN_SHARE, PendingPrompt, PrefillPlanner
from pensieve.engine.batch.rows import view_rows
from pensieve.engine.decoding.cpu_tuning import CpuTuning
from pensieve.engine.decoding.decode_step import all_end, decode_from_logits
from pensieve.engine.decoding.forced_script import ForcedScript
from pensieve.engine.decoding.grammar_mask import GrammarMask
from pensieve.engine.decoding.samplers import penalties_for, sampler_for
from pensieve.engine.decoding.thinking_budget import ThinkingBudget
from pensieve.engine.kv.rows import RowKV
from pensieve.engine.kv.single_row import SingleKV, SingleRequestModel, unwrapped
from pensieve.engine.memory.probe import new_caches
from pensieve.engine.requests.output import Output
from pensieve.engine.requests.ticket import Ticket
from pensieve.engine.speculation.draft_policy import DraftPolicy
from pensieve.engine.speculation.pass_costs import Pace
from pensieve.engine.speculation.speculation import Speculation
from pensieve.models.tokenizers.text_decoder import TextDecoder

if TYPE_CHECKING:
    from pensieve.engine.memory.probe import Probe
    from pensieve.engine.options import EngineOptions
    from pensieve.engine.prompt_cache.match import Match
    from pensieve.engine.speculation.draft_model import DraftModel
    from pensieve.models.loading.load import LoadedModel
    from pensieve.models.tokenizers.thinking_tokens import ThinkingTokens

Computed = tuple[list[int], list[Any]]
"""Token ids, and mlx-lm's caches that hold exactly these."""

FAILED = "failed"
"""The finish reason of a row whose grammar broke. The row is still in the batch."""


class Sampled(NamedTuple):
    """One sampled token of the row `uid`. `finish_reason` is mlx-lm's ("stop", "length" or None), or FAILED.

    `computed` is set once mlx-lm has taken the finished row out of the batch. It may be a view, as in `Batch.computed`.
    """

    uid: int
    token_id: int
    finish_reason: str | None
    computed: Computed | None


class PrefilledChunk(NamedTuple):
    """After it, `num_tokens` uncached prompt tokens are done. `at_stop`: it ends at a stop or at the prompt's end."""

    uid: int
    num_tokens: int
    at_stop: bool
    is_complete: bool


class Batch:
    """Requests that are decoded together. Create, use and drop it on the thread that owns MLX.

    `chunk_tokens` bounds the prompt tokens of one step, and so its memory and how long a cancellation or another
    stream's next token waits; it may change between steps. With `forced`, the script's tokens are sampled, and nothing
    else affects them.
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

        self.max_size = 1 if probe.batching == "none" else options.max_batch_size
        self.chunk_tokens = chunk_tokens
        self._probe = probe
        self._kv_bits = options.kv_bits
        self._model = model
        self._forced = forced
        self._masks: dict[int, GrammarMask] = {}
        self._speculation: Speculation | None = None
        self._cpu_tuning = CpuTuning(may_copy=probe.sizes.in_rows)
        self._prefill = PrefillPlanner(probe)
        self._num_decoded = 0
        self._generator = BatchGenerator(
            SingleRequestModel(model.model) if probe.batching == "none" else model.model,
            stop_tokens=[[token_id] for token_id in sorted(model.eos_token_ids)],
            completion_batch_size=self.max_size,
            prefill_batch_size=self.max_size,
            prefill_step_size=chunk_tokens,
            stream=mx.default_stream(mx.default_device()),
        )
        if probe.sizes.in_rows:
            from pensieve.engine.batch.joining import JoiningPrompts  # noqa: PLC0415 - it imports mlx-lm

            self._generator._prompt_batch = JoiningPrompts.of(self._generator)
        view_rows(self._generator._prompt_batch)
        view_rows(self._generator._generation_batch)
        decode_from_logits(self._generator._generation_batch)

    def speculate(self, pace: Pace, draft: DraftModel | None = None) -> None:
        """From now on, verify several drafted tokens in one pass where that pays, at the model's `pace`.

        Drafts repeat earlier text, or come from the `draft` model. `pace` and `draft` outlive the batch. Without caches
        in rows this does nothing, because other caches cannot be cut.
        """
        if self._probe.sizes.in_rows:
            policy = DraftPolicy(draft) if draft is not None else None
            self._speculation = Speculation(self._generator._generation_batch, pace, policy)

    def insert(self, ticket: Ticket, match: Match, stops: Sequence[int] = ()) -> int:
        """Add a request, whose prompt starts with the cached `match`, and return its row's uid.

        Prefill pauses at each of `stops` (token offsets in the prompt), so that the caches can be read as of there.
        """
        matcher = ticket.matcher if self._forced is None else None
        mask = GrammarMask(matcher, self._model.vocabulary_size) if matcher is not None else None
        uids = self._generator.insert_segments(
            [_segments(ticket.prompt_token_ids, match.num_tokens, stops)],
            caches=[self._initial_caches(ticket, match)],
            all_tokens=[ticket.prompt_token_ids[: match.num_tokens]],
            max_tokens=[max(1, ticket.max_answer_tokens)],
            samplers=[sampler_for(ticket.request.sampling, self._model.vocabulary_size)],
            logits_processors=[self._processors(ticket, mask)],
        )
        if mask is not None:
            self._masks[int(uids[0])] = mask
        return int(uids[0])

    def _initial_caches(self, ticket: Ticket, match: Match) -> list[Any] | None:
        """The caches that a request starts with: rows with room for its prompt, or mlx-lm's kind (None for empty)."""
        cached = match.caches
        if not self._probe.sizes.in_rows:
            own = cached and [each.as_kv_cache() if isinstance(each, RowKV) else each for each in cached]
            if self._probe.batching != "none":
                return own
            return [SingleKV(each) for each in own or new_caches(self._model, by_rows=False, bits=None)]
        room = len(ticket.prompt_token_ids)
        return cached or [RowKV(bits=self._kv_bits, min_room=room) for _ in self._probe.sizes.layers]

    def _processors(self, ticket: Ticket, mask: GrammarMask | None) -> list[Any]:
        if self._forced is not None:
            return [self._forced.processor_for(ticket.request)]
        penalties = penalties_for(ticket.request.sampling, len(ticket.prompt_token_ids))
        return [*penalties, *([mask] if mask else []), *_thinking_budget(ticket, self._model.thinking)]

    def next(self) -> tuple[list[Sampled], list[PrefilledChunk]]:
        """One decode step for all decoding rows, then one prefill chunk.

        A step may return several tokens of one row, in order; only the last one can carry a finish reason.
        """
        prefilled, responses = self._timed_step()
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
            PrefilledChunk(each.uid, each.progress[0], each.end_of_segment, each.end_of_prompt) for each in prefilled
        ]

    def _timed_step(self) -> tuple[list[Any], list[Any]]:
        """Run one step of mlx-lm. Returns its prefill progress and responses; its duration tunes later steps."""
        generator, decoding = self._generator, self._generator._generation_batch
        num_rows = len(decoding)
        self._plan_prefill()
        is_plain = not (self._is_prefilling or decoding.has_new_rows or all_end(decoding))
        is_plain &= self._num_decoded <= num_rows
        num_tokens, began = generator._counters.prompt_tokens, time.perf_counter()
        decoding.copies = self._cpu_tuning.before(num_rows if is_plain else 0)
        prefilled, responses = generator.next()
        self._num_decoded = len(responses)
        self._cpu_tuning.after(self._num_decoded)
        num_tokens, seconds = generator._counters.prompt_tokens - num_tokens, time.perf_counter() - began
        if num_tokens:
            self._prefill.budget.note_prefill(num_tokens, seconds, num_rows, len({each.uid for each in prefilled}))
        elif is_plain and self._num_decoded == num_rows:
            self._prefill.budget.note_decode(num_rows, seconds)
        return prefilled, responses

    @property
    def _is_prefilling(self) -> bool:
        generator = self._generator
        return bool(generator._unprocessed_sequences or len(generator._prompt_batch))

    def _plan_prefill(self) -> None:
        """Set how many prompts mlx-lm prefills in the next step, and how many tokens of each."""
        generator = self._generator
        num_done = sum(_is_done(rest) for rest, _, _ in generator._currently_processing)
        started = zip(generator._prompt_batch.tokens, generator._currently_processing, strict=True)
        pending = [
            PendingPrompt(len(prefilled), _num_tokens(rest))
            for prefilled, (rest, _, _) in started
            if not _is_done(rest)
        ]
        num_started = len(pending)
        waiting = islice(generator._unprocessed_sequences, max(0, self.max_size - num_started))
        pending += [PendingPrompt(len(sequence[4]), _num_tokens(sequence[1])) for sequence in waiting]
        pending = pending if self._probe.batching == "whole" else pending[:1]
        plan = self._prefill.plan(
            pending,
            num_started=num_started,
            num_decoding=len(generator._generation_batch),
            chunk_tokens=self.chunk_tokens,
        )
        generator.prefill_batch_size = plan.num_prompts + num_done  # those leave before the next chunk
        generator.prefill_step_size = max(MIN_SHARE, plan.num_tokens // max(1, plan.num_prompts))
        generator._prompt_batch.prefill_step_size = generator.prefill_step_size  # or it would cut the step in pieces

    def computed(self, uid: int) -> Computed:
        """A row's tokens and caches so far. Use them before the next step: the caches may be views."""
        caches, token_ids = self._generator.extract_cache([uid])[uid]
        return list(token_ids), unwrapped(caches)

    def remove(self, uids: list[int]) -> dict[int, Computed]:
        """Remove rows. Returns the tokens and caches of each."""
        removed = self._generator.remove(uids, return_prompt_caches=True)
        for uid in uids:
            self._masks.pop(uid, None)
        if self._speculation is not None:
            self._speculation.drop(uids)
        return {uid: (list(token_ids), unwrapped(caches)) for uid, (caches, token_ids) in removed.items()}

    def new_output(self, ticket: Ticket) -> Output:
        dialect = self._model.dialect
        decoder = TextDecoder(self._model.tokenizer, dialect.marks.characters)
        return Output(ticket, decoder, dialect, streams_calls=ticket.matcher is not None)

    def _reason(self, response: Any) -> str | None:
        mask = self._masks.get(response.uid)
        if mask is not None and mask.failed:
            return FAILED
        if response.finish_reason is not None:
            self._masks.pop(response.uid, None)
        reason: str | None = response.finish_reason
        return reason

    @property
    def kv_cache_bytes(self) -> int:
        """Bytes of all rows' caches, including the draft model's."""
        draft_bytes = self._speculation.kv_bytes if self._speculation is not None else 0
        return int(self._generator.prompt_cache_nbytes) + draft_bytes


def _is_done(segments: Sequence[Sequence[int]]) -> bool:
    """Whether only a prompt's last token remains, which is left to the decode step."""
    return len(segments) == 1 and len(segments[0]) == 1


def _num_tokens(segments: Sequence[Sequence[int]]) -> int:
    return sum(map(len, segments))


def _segments(token_ids: list[int], start: int, stops: Sequence[int]) -> list[list[int]]:
    ends = sorted({stop for stop in stops if start < stop < len(token_ids)})
    return [token_ids[begin:end] for begin, end in pairwise([start, *ends, len(token_ids)])]


def _thinking_budget(ticket: Ticket, tokens: ThinkingTokens | None) -> list[ThinkingBudget]:
    """Empty if the prompt ends with closed thinking: without processors the row may be speculated on."""
    budget = ticket.request.thinking.budget_tokens
    if budget is None or tokens is None:
        return []
    may_begin = bool(tokens.open_ids) and not tokens.are_closed_in(ticket.prompt_token_ids)
    if not ticket.starts_thinking and not may_begin:
        return []
    budget = thinking_tokens(budget, ticket.request.max_tokens, ticket.max_answer_tokens)
    return [ThinkingBudget(budget, tokens.close_ids, tokens.open_ids, is_open=ticket.starts_thinking)]
