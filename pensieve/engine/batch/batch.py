"""Continuous batching by mlx-lm's BatchGenerator, reduced to what the generation loop needs of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import accumulate, islice, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import mlx.core as mx

from pensieve.core.scheduling.prefill_budget import PrefillBudget
from pensieve.device.device import device_info
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
    from pensieve.engine.prompt_cache.store import Match
    from pensieve.engine.speculation.draft_model import DraftModel
    from pensieve.models.loading.load import LoadedModel

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


class PrefillProgress(NamedTuple):
    """`num_tokens` of what was given to read are read; `at_stop` says that a stop, or the prompt, ends here."""

    uid: int
    num_tokens: int
    at_stop: bool
    is_complete: bool


_MIN_SHARE = 8
_SHARE_TOKENS = 64
"""Of a prompt in a step: at least, and as a rule where several are read."""
_MIN_ABREAST = 2
"""Prompts that are read in the same step, if there are so many."""

_WHOLE_CHUNKS = 4
"""Prompts that are read to their end in one step may have so many chunks' tokens together."""


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

        self.max_size = 1 if probe.batching == "none" else options.max_batch_size
        self.chunk_tokens = chunk_tokens
        self._probe = probe
        self._kv_bits = options.kv_bits
        self._model = model
        self._forced = forced
        self._held: dict[int, GrammarMask] = {}
        self._speculation: Speculation | None = None
        self._steps = CpuTuning(may_copy=probe.sizes.in_rows)
        self._pace = PrefillBudget()
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
        """Decode what repeats, or what the `draft` model guesses, several tokens at a time from now on, at the model's
        `pace`. Both outlive the batch.

        Caches that are not in rows cannot be cut, so there this does nothing.
        """
        if self._probe.sizes.in_rows:
            drafting = DraftPolicy(draft) if draft is not None else None
            self._speculation = Speculation(self._generator._generation_batch, pace, drafting)

    def insert(self, ticket: Ticket, match: Match, stops: Sequence[int] = ()) -> int:
        """Put a ticket into the batch, of whose prompt `match` is known; its number there.

        Reading halts at each of `stops`, which are token offsets in the prompt, so that the caches can be had as they
        are there.
        """
        matcher = ticket.matcher if self._forced is None else None
        held = GrammarMask(matcher, self._model.vocabulary_size) if matcher is not None else None
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
            own = known and [each.as_kv_cache() if isinstance(each, RowKV) else each for each in known]
            if self._probe.batching != "none":
                return own
            return [SingleKV(each) for each in own or new_caches(self._model, by_rows=False, bits=None)]
        room = len(ticket.prompt_token_ids)
        return known or [RowKV(bits=self._kv_bits, min_room=room) for _ in self._probe.sizes.layers]

    def _processors(self, ticket: Ticket, held: GrammarMask | None) -> list[Any]:
        if self._forced is not None:
            return [self._forced.processor_for(ticket.request)]
        penalties = penalties_for(ticket.request.sampling)
        return [*penalties, *([held] if held else []), *self._thinking_budget(ticket)]

    def _thinking_budget(self, ticket: Ticket) -> list[ThinkingBudget]:
        """None where the prompt ends with thinking that is closed: that row may be speculated on."""
        budget, tokens = ticket.request.thinking.budget_tokens, self._model.thinking
        if budget is None or tokens is None:
            return []
        may_begin = bool(tokens.open_ids) and not tokens.are_closed_in(ticket.prompt_token_ids)
        if not ticket.starts_thinking and not may_begin:
            return []
        return [ThinkingBudget(budget, tokens.close_ids, tokens.open_ids, is_open=ticket.starts_thinking)]

    def next(self) -> tuple[list[Sampled], list[PrefillProgress]]:
        """One decode step for all that are decoding, then one chunk for those whose prompt is not read yet.

        A step may bring several tokens of a row, in their order; the last one says whether the row ended.
        """
        read, responses = self._timed_step()
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
            PrefillProgress(each.uid, each.progress[0], each.end_of_segment, each.end_of_prompt) for each in read
        ]

    def _timed_step(self) -> tuple[list[Any], list[Any]]:
        """A step of mlx-lm's: what it read, and its responses. How long it took bears on those to come."""
        generator, answering = self._generator, self._generator._generation_batch
        num_rows = len(answering)
        self._plan_reading()
        is_plain = not (self._is_reading or answering.begins or all_end(answering)) and self._num_decoded <= num_rows
        num_read, began = generator._counters.prompt_tokens, time.perf_counter()
        answering.copies = self._steps.before(num_rows if is_plain else 0)
        read, responses = generator.next()
        self._num_decoded = len(responses)
        self._steps.after(self._num_decoded)
        num_read, seconds = generator._counters.prompt_tokens - num_read, time.perf_counter() - began
        if num_read:
            self._pace.note_prefill(num_read, seconds, num_rows, len({each.uid for each in read}))
        elif is_plain and self._num_decoded == num_rows:
            self._pace.note_decode(num_rows, seconds)
        return read, responses

    @property
    def _is_reading(self) -> bool:
        generator = self._generator
        return bool(generator._unprocessed_sequences or len(generator._prompt_batch))

    def _plan_reading(self) -> None:
        """How many prompts the next step reads, and how much of each: no more in all than the pace allows.

        Those that can be read to their end are. Of many others, each with a few tokens, every layer would begin anew
        for each of them: they are read a few at a time, in the order they came, and more than one, so that a short
        prompt need not wait for all of a long one. Those that are being read are in each step.
        """
        generator = self._generator
        is_read = [len(left) == 1 and len(left[0]) == 1 for left, _, _ in generator._currently_processing]
        halfway = zip(generator._prompt_batch.tokens, generator._currently_processing, is_read, strict=True)
        unread = [(len(known), _num_tokens(left)) for known, (left, _, _), done in halfway if not done]
        waiting = islice(generator._unprocessed_sequences, max(0, self.max_size - len(unread)))
        unread += [(len(sequence[4]), _num_tokens(sequence[1])) for sequence in waiting]
        unread = unread if self._probe.batching == "whole" else unread[:1]
        most = self._pace.max_tokens(len(generator._generation_batch), self.chunk_tokens, len(unread))
        num_halfway = len(is_read) - sum(is_read)
        abreast = max(num_halfway, min(max(_MIN_ABREAST, most // _SHARE_TOKENS), len(unread)))
        chunk = min(most, self._chunk_behind(unread[:abreast], self.chunk_tokens))
        if (whole := self._read_whole(unread)) > abreast or whole == len(unread):
            abreast, chunk = whole, whole * max((left for _, left in unread[:whole]), default=0)
        generator.prefill_batch_size = abreast + sum(is_read)  # those leave before the next chunk
        generator.prefill_step_size = max(_MIN_SHARE, chunk // max(1, abreast))
        generator._prompt_batch.prefill_step_size = generator.prefill_step_size  # else it would cut a step in pieces

    def _read_whole(self, unread: Sequence[tuple[int, int]]) -> int:
        """How many prompts, each with the tokens that are read of it and those that are left, may be read to their end
        in the next step. They may be larger than a chunk together: nobody waits for the step after it. A CPU takes
        longer a token where one prompt's is larger.
        """
        most = self._chunk_behind(unread, _WHOLE_CHUNKS * self.chunk_tokens)
        most = self._pace.max_tokens(len(self._generator._generation_batch), most, len(unread))
        longest = accumulate((left for _, left in unread), max)
        longest_whole = self.chunk_tokens if device_info().backend == "cpu" else most
        return sum(length <= longest_whole and number * length <= most for number, length in enumerate(longest, 1))

    def _chunk_behind(self, unread: Sequence[tuple[int, int]], chunk_tokens: int) -> int:
        """As much of `chunk_tokens` as memory is held ready for, behind what is read already."""
        return self._probe.max_chunk_at(max((known for known, _ in unread), default=0), chunk_tokens)

    def computed(self, uid: int) -> Computed:
        """What is computed of a row that is in the batch. To be used before the next step: it may be a view."""
        caches, token_ids = self._generator.extract_cache([uid])[uid]
        return list(token_ids), unwrapped(caches)

    def remove(self, uids: list[int]) -> dict[int, Computed]:
        """Take rows out; what was computed of each."""
        found = self._generator.remove(uids, return_prompt_caches=True)
        for uid in uids:
            self._held.pop(uid, None)
        if self._speculation is not None:
            self._speculation.drop(uids)
        return {uid: (list(token_ids), unwrapped(caches)) for uid, (caches, token_ids) in found.items()}

    def new_output(self, ticket: Ticket) -> Output:
        dialect = self._model.dialect
        decoder = TextDecoder(self._model.tokenizer, dialect.marks.characters)
        return Output(ticket, decoder, dialect, streams_calls=ticket.matcher is not None)

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
        """Bytes of the caches of everything in the batch, a draft model's among them."""
        drafted = self._speculation.kv_bytes if self._speculation is not None else 0
        return int(self._generator.prompt_cache_nbytes) + drafted


def _num_tokens(segments: Sequence[Sequence[int]]) -> int:
    return sum(map(len, segments))


def _segments(token_ids: list[int], start: int, stops: Sequence[int]) -> list[list[int]]:
    ends = sorted({stop for stop in stops if start < stop < len(token_ids)})
    return [token_ids[begin:end] for begin, end in pairwise([start, *ends, len(token_ids)])]
