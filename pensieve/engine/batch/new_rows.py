"""A request's row, and the caches that it starts with."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pensieve.core.scheduling.validation import thinking_tokens
from pensieve.engine.decoding.grammar_mask import GrammarMask
from pensieve.engine.decoding.row import Row
from pensieve.engine.decoding.samplers import penalties_for, sampler_for
from pensieve.engine.decoding.thinking_budget import ThinkingBudget
from pensieve.engine.kv.batch_caches import RowCaches
from pensieve.engine.kv.rows.forms import in_rows, nested, without_rows
from pensieve.engine.memory.layout import new_caches

if TYPE_CHECKING:
    from pensieve.engine.decoding.forced_script import ForcedScript
    from pensieve.engine.memory.probe import Probe
    from pensieve.engine.prompt_cache.match import Match
    from pensieve.engine.requests.prompt import PreparedPrompt
    from pensieve.models.loading.load import LoadedModel
    from pensieve.models.tokenizers.thinking_tokens import ThinkingTokens


class NewRows:
    """Makes the rows of one batch."""

    def __init__(
        self,
        model: LoadedModel,
        probe: Probe,
        *,
        kv_bits: int | None,
        forced: ForcedScript | None,
        samples_in_prefill: bool,
    ) -> None:
        self._model = model
        self._probe = probe
        self._kv_bits = kv_bits
        self._forced = forced
        self._samples_in_prefill = samples_in_prefill
        self._uids = itertools.count()

    def make(
        self, prompt: PreparedPrompt, max_tokens: int, match: Match, stops: Sequence[int]
    ) -> tuple[Row, RowCaches]:
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
        return row, self._caches(len(prompt.token_ids), match)

    def _caches(self, room: int, match: Match) -> RowCaches:
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
