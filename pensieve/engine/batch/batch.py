"""Continuous batching: each step follows a plan that prefills some prompts and decodes all other rows."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from pensieve.core.scheduling.step_plan import StepPlan, StepPlanner
from pensieve.engine.batch.new_rows import NewRows
from pensieve.engine.batch.prefill_limits import pending, prefill_limits
from pensieve.engine.batch.prefilling_rows import PrefilledChunk, PrefillingRows
from pensieve.engine.batch.shared_pass import SharedPass, may_share_passes
from pensieve.engine.decoding.cpu_tuning import CpuTuning
from pensieve.engine.decoding.decoding_rows import DecodingRows
from pensieve.engine.decoding.forced_script import ForcedScript
from pensieve.engine.decoding.row import Computed, Row, Sampled
from pensieve.engine.decoding.thinking_budget import last_token
from pensieve.engine.kv.batch_caches import BatchCaches, MixedCaches, RowCaches, SeparateCaches
from pensieve.engine.kv.rows.forms import without_rows
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
        self._model = model
        caches = SeparateCaches if probe.batching in {"separate", "none"} else _CACHES[probe.rows]
        self._waiting: dict[int, tuple[Row, RowCaches]] = {}
        may_share = may_share_passes(new_caches(model, probe.rows, probe.forms))
        head = OutputHead.of(model.model) if may_share or probe.rows == "all" else None
        prefill_head = head if probe.rows == "all" else None
        self._new_rows = NewRows(
            model, probe, kv_bits=options.kv_bits, forced=forced, samples_in_prefill=prefill_head is not None
        )
        self._prefilling = PrefillingRows(model.model, caches(), prefill_head)
        self._decoding = DecodingRows(model.model, model.eos_token_ids, caches())
        self._shared = SharedPass(self._prefilling, self._decoding, head) if may_share and head is not None else None
        self._speculation: Speculation | None = None
        self._planner = StepPlanner(prefill_limits(probe, in_one_pass=self._shared is not None))
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
        if observer is not None:  # it sees the passes of both apart
            self._shared = None
            self._planner = StepPlanner(prefill_limits(self._probe, in_one_pass=False))
        if pace is not None:
            policy = DraftPolicy(drafter) if drafter is not None else None
            may_pad = self._probe.batching == "whole"
            self._speculation = Speculation(self._decoding, pace, policy, may_pad=may_pad)

    def insert(self, prompt: PreparedPrompt, max_tokens: int, match: Match, stops: Sequence[int] = ()) -> int:
        """Add a request, whose prompt starts with the cached `match`, and return its row's uid.

        Its answer has at most `max_tokens`. Prefill pauses at each of `stops` (token offsets in the prompt), so that
        the caches can be read as of there.
        """
        row, caches = self._new_rows.make(prompt, max_tokens, match, stops)
        self._waiting[row.uid] = row, caches
        return row.uid

    def step(self) -> StepResult:
        """Plan and run one step: rows join, all decoding rows get a token, then some prompts are prefilled."""
        plan = self._plan()
        num_rows = len(plan.decodes)
        drafts_help = self._num_decoded > num_rows
        is_plain = plan.only_decodes and not (drafts_help or self._decoding.has_new_rows or self._decoding.all_end)
        began = time.perf_counter()
        self._decoding.copies = self._cpu_tuning.before(0 if drafts_help else num_rows, is_plain=is_plain)
        result = self._execute(plan, may_share=not drafts_help)
        self._num_decoded = len(result.sampled)
        self._cpu_tuning.after(self._num_decoded)
        self._note_seconds(plan, time.perf_counter() - began, is_plain=is_plain)
        return result

    def _plan(self) -> StepPlan:
        prompts = [pending(row, has_begun=True) for row in self._prefilling.rows]
        prompts += [pending(row, has_begun=False) for row, _ in self._waiting.values()]
        decoding = [row.uid for row in self._decoding.rows]
        num_beside = 0
        if self._shared is not None:  # the tokens of decoding rows are in the same pass
            num_beside = len(decoding) + sum(not each.num_remaining for each in prompts)
        return self._planner.plan(prompts, decoding, self.chunk_tokens - num_beside)

    def _execute(self, plan: StepPlan, *, may_share: bool) -> StepResult:
        joined, sampled = self._join(plan.joins)
        shared = self._shared if may_share and plan.prefills else None
        if shared is not None and shared.is_possible:
            decoded, prefilled = self._run_shared(shared, dict(plan.prefills))
        else:
            decoded = self._speculation.next() if self._speculation is not None else self._decoding.next()
            prefilled = self._prefill(dict(plan.prefills)) if plan.prefills else []
        return StepResult([*sampled, *decoded, *self._first_tokens()], [*joined, *prefilled])

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

    def _run_shared(
        self, shared: SharedPass, num_tokens: Mapping[int, int]
    ) -> tuple[list[Sampled], list[PrefilledChunk]]:
        self._begin_prefill(num_tokens)
        uids = [row.uid for row in self._decoding.rows]
        sampled, prefilled = shared.run(num_tokens)
        if self._speculation is not None:
            self._speculation.count_plain(uids, sampled)
        return sampled, prefilled

    def _prefill(self, num_tokens: Mapping[int, int]) -> list[PrefilledChunk]:
        self._begin_prefill(num_tokens)
        return self._prefilling.run(num_tokens)

    def _begin_prefill(self, uids: Collection[int]) -> None:
        self._cpu_tuning.before_prefill()
        self._prefilling.add([self._waiting.pop(uid) for uid in uids if uid in self._waiting])

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
            # Where they share a pass, a chunk alone takes what a step with one row takes, and its own tokens.
            beside = max(1, num_rows) if self._shared is not None else num_rows
            self._planner.budget.note_prefill(plan.num_prefill_tokens, seconds, beside, len(plan.prefills))
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
