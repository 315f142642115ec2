"""Continuous batching: each step follows a plan that prefills some prompts and decodes all other rows."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pensieve.core.scheduling.prefill_budget import MAX_DECODE_STEPS, MAX_DECODE_STEPS_ON_CPU
from pensieve.core.scheduling.step_plan import PendingPrompt, PrefillLimits, StepPlan, StepPlanner
from pensieve.core.scheduling.validation import thinking_tokens
from pensieve.device.device import device_info
from pensieve.engine.batch.prefilling_rows import PrefilledChunk, PrefillingRows
from pensieve.engine.decoding.cpu_tuning import CpuTuning
from pensieve.engine.decoding.decoding_rows import DecodingRows
from pensieve.engine.decoding.forced_script import ForcedScript
from pensieve.engine.decoding.grammar_mask import GrammarMask
from pensieve.engine.decoding.row import Computed, Row, Sampled
from pensieve.engine.decoding.samplers import penalties_for, sampler_for
from pensieve.engine.decoding.thinking_budget import ThinkingBudget, last_token
from pensieve.engine.kv.batch_caches import BatchCaches, MixedCaches, RowCaches, SeparateCaches
from pensieve.engine.kv.rows.forms import in_rows, nested, without_rows
from pensieve.engine.layers.output_head import OutputHead
from pensieve.engine.memory.layout import new_caches
from pensieve.engine.requests.output import Output
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.engine.speculation.draft_policy import DraftPolicy
from pensieve.engine.speculation.pass_costs import Pace
from pensieve.engine.speculation.speculation import Speculation
from pensieve.models.tokenizers.text_decoder import TextDecoder

if TYPE_CHECKING:
    from pensieve.engine.memory.probe import Probe
    from pensieve.engine.options import EngineOptions
    from pensieve.engine.prompt_cache.match import Match
    from pensieve.engine.speculation.drafter import Drafter
    from pensieve.models.loading.load import LoadedModel
    from pensieve.models.tokenizers.thinking_tokens import ThinkingTokens


_CACHES: Final = {"all": BatchCaches, "attention": MixedCaches, "none": BatchCaches}
"""By the layers that are rows, of a model that can be batched."""


class StepResult(NamedTuple):
    """A step may sample several tokens of one row, in order; only the last one can carry a finish reason."""

    sampled: list[Sampled]
    prefilled: list[PrefilledChunk]


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
        self.max_size = 1 if probe.batching == "none" else options.max_batch_size
        self.chunk_tokens = chunk_tokens
        self._probe = probe
        self._kv_bits = options.kv_bits
        self._model = model
        self._forced = forced
        self._uids = itertools.count()
        caches = SeparateCaches if probe.batching in {"separate", "none"} else _CACHES[probe.rows]
        self._waiting: dict[int, tuple[Row, RowCaches]] = {}
        head = OutputHead.of(model.model) if probe.rows == "all" else None
        self._samples_in_prefill = head is not None
        self._prefilling = PrefillingRows(model.model, caches(), head)
        self._decoding = DecodingRows(model.model, model.eos_token_ids, caches())
        self._speculation: Speculation | None = None
        self._planner = StepPlanner(_limits(probe))
        self._cpu_tuning = CpuTuning(may_copy=probe.rows == "all")
        self._num_decoded = 0

    def speculate(self, pace: Pace | None, drafter: Drafter | None = None) -> None:
        """From now on, verify several drafted tokens in one pass where that pays, at the model's `pace`. None: decode
        plainly.

        Drafts repeat earlier text, or come from the `drafter`. `pace` and `drafter` outlive the batch.
        """
        self._speculation = None
        observer = drafter.observer if pace is not None and drafter is not None else None
        self._prefilling.observer = self._decoding.observer = observer
        if pace is not None:
            policy = DraftPolicy(drafter) if drafter is not None else None
            may_pad = self._probe.batching == "whole"
            self._speculation = Speculation(self._decoding, pace, policy, may_pad=may_pad)

    def insert(self, prompt: PreparedPrompt, max_tokens: int, match: Match, stops: Sequence[int] = ()) -> int:
        """Add a request, whose prompt starts with the cached `match`, and return its row's uid.

        Its answer has at most `max_tokens`. Prefill pauses at each of `stops` (token offsets in the prompt), so that
        the caches can be read as of there.
        """
        matcher = prompt.matcher if self._forced is None else None
        mask = GrammarMask(matcher, self._model.vocabulary_size) if matcher is not None else None
        row = Row(
            uid=next(self._uids),
            prompt=prompt.token_ids,
            token_ids=prompt.token_ids[: match.num_tokens],
            stops=tuple(sorted(stop for stop in stops if stop < len(prompt.token_ids))),
            max_tokens=max(1, max_tokens),
            sampler=sampler_for(prompt.request.sampling, self._model.vocabulary_size),
            processors=self._processors(prompt, max_tokens, mask),
            mask=mask,
            num_cached=match.num_tokens,
            samples_in_prefill=self._samples_in_prefill,
        )
        self._waiting[row.uid] = row, self._initial_caches(len(prompt.token_ids), match)
        return row.uid

    def _initial_caches(self, room: int, match: Match) -> RowCaches:
        """The caches that a request starts with. Rows get `room` for its prompt."""
        rows, forms = self._probe.rows, self._probe.forms
        fresh = new_caches(self._model, rows, forms, bits=self._kv_bits, min_room=room)
        if match.caches is None:
            return fresh
        caches = nested(fresh, match.caches)
        if rows == "all":
            return in_rows(caches, forms)
        plain = without_rows(caches)
        return in_rows(plain, forms, min_room=room) if rows == "attention" else plain

    def _processors(self, prompt: PreparedPrompt, max_tokens: int, mask: GrammarMask | None) -> list[Any]:
        if self._forced is not None:
            return [self._forced.processor_for(prompt.request)]
        penalties = penalties_for(prompt.request.sampling, len(prompt.token_ids))
        return [*penalties, *([mask] if mask else []), *_thinking_budget(prompt, max_tokens, self._model.thinking)]

    def step(self) -> StepResult:
        """Plan and run one step: rows join, all decoding rows get a token, then some prompts are prefilled."""
        plan = self._plan()
        num_rows = len(plan.decodes)
        drafts_help = self._num_decoded > num_rows
        is_plain = plan.only_decodes and not (drafts_help or self._decoding.has_new_rows or self._decoding.all_end)
        began = time.perf_counter()
        self._decoding.copies = self._cpu_tuning.before(0 if drafts_help else num_rows, is_plain=is_plain)
        result = self._execute(plan)
        self._num_decoded = len(result.sampled)
        self._cpu_tuning.after(self._num_decoded)
        self._note_seconds(plan, time.perf_counter() - began, is_plain=is_plain)
        return result

    def _plan(self) -> StepPlan:
        pending = [_pending(row, has_begun=True) for row in self._prefilling.rows]
        pending += [_pending(row, has_begun=False) for row, _ in self._waiting.values()]
        return self._planner.plan(pending, [row.uid for row in self._decoding.rows], self.chunk_tokens)

    def _execute(self, plan: StepPlan) -> StepResult:
        joined, sampled = self._join(plan.joins)
        sampled += self._speculation.next() if self._speculation is not None else self._decoding.next()
        prefilled = self._prefill(dict(plan.prefills)) if plan.prefills else []
        return StepResult(sampled + self._first_tokens(), [*joined, *prefilled])

    def _join(self, uids: Collection[int]) -> tuple[list[PrefilledChunk], list[Sampled]]:
        """Let prefilled rows decode. Returns the last chunk of prompts whose last token is left to that."""
        if not uids:
            return [], []
        rows, caches = self._prefilling.take_complete()
        for uid in [uid for uid in uids if uid in self._waiting]:
            row, own = self._waiting.pop(uid)
            rows.append(row)
            caches.extend(caches.of([own]))
        completed = [PrefilledChunk.last(row) for row in rows if row.next_token is None]
        return completed, self._decoding.join(rows, caches)

    def _prefill(self, num_tokens: Mapping[int, int]) -> list[PrefilledChunk]:
        self._cpu_tuning.before_prefill()
        self._prefilling.add([self._waiting.pop(uid) for uid in num_tokens if uid in self._waiting])
        return self._prefilling.run(num_tokens)

    def _first_tokens(self) -> list[Sampled]:
        """The first tokens of the prompts that this step completed."""
        begun = [(row, row.next_token) for row in self._prefilling.rows if row.next_token is not None]
        ahead = [self._decoding.emit_ahead(row, last_token(token_ids)) for row, token_ids in begun]
        emitted = [each for each in ahead if each is not None]
        if self._speculation is not None:
            self._speculation.count_first(len(emitted))
        return emitted

    def _note_seconds(self, plan: StepPlan, seconds: float, *, is_plain: bool) -> None:
        """A step's duration tunes later plans."""
        num_rows = len(plan.decodes)
        if plan.prefills:
            self._planner.budget.note_prefill(plan.num_prefill_tokens, seconds, num_rows, len(plan.prefills))
        elif is_plain and self._num_decoded == num_rows:
            self._planner.budget.note_decode(num_rows, seconds)

    def computed(self, uid: int) -> Computed:
        """A row's tokens and caches so far. Use them before the next step: the caches may be views.

        Raises:
            KeyError: the row is not in the batch.
        """
        if uid in self._waiting:
            row, caches = self._waiting[uid]
            return list(row.token_ids), caches if self._probe.rows == "all" else without_rows(caches)
        place = self._place(uid)
        if place is None:
            raise KeyError(uid)
        part, index = place
        return list(part.rows[index].token_ids), part.caches.row(index)

    def __contains__(self, uid: int) -> bool:
        """Whether the row has neither ended nor been removed."""
        return uid in self._waiting or self._place(uid) is not None

    def _place(self, uid: int) -> tuple[PrefillingRows | DecodingRows, int] | None:
        for part in (self._prefilling, self._decoding):
            for index, row in enumerate(part.rows):
                if row.uid == uid:
                    return part, index
        return None

    def remove(self, uids: Collection[int]) -> dict[int, Computed]:
        """Remove rows. Returns the tokens and caches of those that were still in the batch."""
        rows = [*self._prefilling.rows, *self._decoding.rows, *(row for row, _ in self._waiting.values())]
        removed = {row.uid: self.computed(row.uid) for row in rows if row.uid in uids}
        for uid in uids:
            self._waiting.pop(uid, None)
        self._prefilling.drop(uids)
        self._decoding.drop(uids)
        if self._speculation is not None:
            self._speculation.drop(uids)
        return removed

    def new_output(self, prompt: PreparedPrompt, progress: AnswerProgress) -> Output:
        dialect = self._model.dialect
        decoder = TextDecoder(self._model.tokenizer, dialect.marks.characters)
        return Output(prompt, progress, decoder, dialect, streams_calls=prompt.matcher is not None)

    @property
    def kv_cache_bytes(self) -> int:
        """Bytes of all rows' caches, including those that draft."""
        draft_bytes = self._speculation.kv_bytes if self._speculation is not None else 0
        draft_bytes += sum(int(row.mtp.nbytes) for row in self._prefilling.rows if row.mtp is not None)
        waiting = sum(int(cache.nbytes) for _, caches in self._waiting.values() for cache in caches)
        return waiting + self._prefilling.caches.nbytes + self._decoding.caches.nbytes + draft_bytes


def _pending(row: Row, *, has_begun: bool) -> PendingPrompt:
    return PendingPrompt(row.uid, len(row.token_ids), row.num_remaining, row.next_stop, has_begun)


def _limits(probe: Probe) -> PrefillLimits:
    is_cpu = device_info().backend == "cpu"
    return PrefillLimits(
        fitting=probe.max_chunk_at,
        max_prompts=None if probe.batching == "whole" else 1,
        may_exceed_chunk=not is_cpu,
        max_decode_steps=MAX_DECODE_STEPS_ON_CPU if is_cpu else MAX_DECODE_STEPS,
    )


def _thinking_budget(prompt: PreparedPrompt, max_tokens: int, tokens: ThinkingTokens | None) -> list[ThinkingBudget]:
    """Empty if the prompt ends with closed thinking: without processors the row may be speculated on."""
    budget = prompt.request.thinking.budget_tokens
    if budget is None or tokens is None:
        return []
    may_begin = bool(tokens.open_ids) and not tokens.are_closed_in(prompt.token_ids)
    if not prompt.starts_thinking and not may_begin:
        return []
    budget = thinking_tokens(budget, prompt.request.max_tokens, max_tokens)
    return [ThinkingBudget(budget, tokens.close_ids, tokens.open_ids, is_open=prompt.starts_thinking)]
