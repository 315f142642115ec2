"""Constrains decoding to a grammar (W14, W16) with llguidance, which computes the tokens allowed next.

`Grammars` compiles and caches the grammars of an engine. A `GrammarMask` masks one request's logits on the MLX thread.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from contracts.values.vocabulary import GenerationRequest, ModelFeature, ToolMode
from pensieve.core.dialects.grammar import answer_grammar
from pensieve.core.errors import ValidationError
from pensieve.engine.decoding.bounded_memo import BoundedMemo
from pensieve.engine.decoding.enforced_schemas import ANY_OBJECT, EnforcedSchemas
from pensieve.engine.decoding.enforced_schemas import MAX_BYTES as MAX_VERDICTS_BYTES
from pensieve.engine.decoding.thinking_budget import last_token
from pensieve.models.tokenizers.compiled_grammar import AnswerMatcher, CompiledGrammar
from pensieve.models.tokenizers.grammar_tokenizer import grammar_tokenizer

if TYPE_CHECKING:
    from pensieve.models.loading.load import LoadedModel

log = logging.getLogger(__name__)

MAY_RELAX: Final = (ToolMode.AUTO, ToolMode.NONE)
MAX_BYTES: Final = 64 * 1000**2
"""The default limit of all compiled grammars: clients may keep sending new ones."""
_LIMITS: Final = LLParserLimits(max_items_in_row=40_000)
"""Enough for 2,000 optional properties of one object: the default ends at 499, while the answer is decoded."""


class Grammars:
    """Compiles the grammars of one model's requests, each text once. Not thread-safe."""

    def __init__(
        self, model: LoadedModel, *, max_bytes: int = MAX_BYTES, max_verdicts_bytes: int = MAX_VERDICTS_BYTES
    ) -> None:
        self._model = model
        self._compiled: BoundedMemo[CompiledGrammar] = BoundedMemo(max_bytes, lambda grammar: grammar.num_bytes)
        self._schemas = EnforcedSchemas(model.dialect, max_verdicts_bytes)

    @property
    def num_bytes(self) -> int:
        """Of the compiled grammars, as estimated, and of the verdicts."""
        return self._compiled.num_bytes + self._schemas.num_bytes

    def prepare(self) -> None:
        """Build in advance what the first request with tools needs. A large vocabulary takes seconds."""
        if self._model.supports(ModelFeature.JSON_MODE):
            _ = self._tokenizer

    @cached_property
    def _tokenizer(self) -> LLTokenizer:
        backend = self._model.tokenizer.backend_tokenizer
        eos = sorted(self._model.eos_token_ids)
        marks = self._model.dialect.marks.characters
        return LLTokenizer(
            grammar_tokenizer(backend.to_str(), marks), n_vocab=self._model.vocabulary_size, eos_token=eos
        )

    def matcher_for(self, request: GenerationRequest, *, starts_thinking: bool) -> AnswerMatcher | None:
        """The matcher for the grammar that an answer to `request` must follow, or None if it is unconstrained.

        Raises:
            ValidationError: a schema is invalid, or cannot be enforced although the request requires it. The field is
                the schema's path in the request.
        """
        if not self._model.supports(ModelFeature.JSON_MODE):
            _require_unconstrained(request)
            return None
        request = self._schemas.of(request)
        try:
            return self._compiled_for(request, starts_thinking=starts_thinking)
        except ValidationError as error:
            if request.tool_choice.mode not in MAY_RELAX or any(tool.strict for tool in request.tools):
                raise
            log.warning(
                "the tools' schemas cannot be enforced together, so any object is accepted as arguments: %s", error
            )
        relaxed = tuple(replace(tool, input_schema=ANY_OBJECT) for tool in request.tools)
        return self._compiled_for(replace(request, tools=relaxed), starts_thinking=starts_thinking)

    def _compiled_for(self, request: GenerationRequest, *, starts_thinking: bool) -> AnswerMatcher | None:
        grammar = answer_grammar(request, self._model.dialect, starts_thinking=starts_thinking)
        if grammar is None:
            return None

        def compiled() -> CompiledGrammar:
            matcher = LLMatcher(self._tokenizer, grammar, log_level=0, limits=_LIMITS)
            if matcher.is_error():
                problem = matcher.get_error().strip().splitlines()[0]  # the whole grammar follows
                raise ValidationError("tools", f"their schemas are too complex to enforce together: {problem}")
            return CompiledGrammar(matcher, len(grammar))

        self._compiled.drop(lambda grammar: grammar.is_broken)
        self._compiled.measure_again()
        return self._compiled.get(grammar, compiled).new_matcher()


def _require_unconstrained(request: GenerationRequest) -> None:
    """For tokenizers written in Python, whose vocabulary cannot be read.

    Raises:
        ValidationError: the request needs a grammar.
    """
    reason = "schemas cannot be enforced with this model's tokenizer: serve a model with a tokenizer.json"
    if request.tool_choice.mode in (ToolMode.ANY, ToolMode.TOOL):
        raise ValidationError("tool_choice", reason)
    if request.output_schema is not None:
        raise ValidationError("output_config.format", reason)
    strict = next((tool for tool in request.tools if tool.strict), None)
    if strict is not None and request.tool_choice.mode is not ToolMode.NONE:
        raise ValidationError(f"{strict.place or 'tools'}.strict", reason)


class GrammarMask:
    """A logits processor: (token ids so far, logits [1, vocabulary]) to logits.

    Once the grammar is complete, its mask allows only the end of the turn. It never raises, since that would fail the
    batch's other rows too; `failed` marks its own row as lost.
    """

    def __init__(self, matcher: AnswerMatcher, vocabulary_size: int) -> None:
        self._matcher, self._grammar = matcher.matcher, matcher.grammar
        self._mask = allocate_token_bitmask(1, vocabulary_size)
        self._forced: deque[int] = deque()
        """The tokens that must come next, without the first: for each, llguidance would read all others again."""
        self._has_begun = False
        self.failed = False

    def __call__(self, token_ids: mx.array, logits: mx.array) -> mx.array:
        try:
            allowed = self.after(last_token(token_ids) if self._has_begun else None)
            self._has_begun = True
            return logits if allowed is None else masked(logits, allowed)
        except Exception:
            log.exception("a grammar failed, and its request with it")
            self.failed = True
            return logits

    def after(self, token_id: int | None) -> npt.NDArray[np.int32] | None:
        """The tokens allowed after the next one of the answer, or at its start, a bit each. None if the row is lost."""
        if token_id is not None and not self._matcher.is_stopped():
            self.failed |= not self._matcher.consume_token(token_id)
        if self.failed:
            return None
        return self._mask if self._fill() else None

    def _fill(self) -> bool:
        """Whether the row goes on."""
        if self._forced:
            token_id = self._forced.popleft()
            self._mask.fill(0)
            self._mask.view(np.uint32)[0, token_id // 32] = 1 << token_id % 32
            return True
        self._grammar.num_tokens += 1
        fill_next_token_bitmask(self._matcher, self._mask)
        if self._matcher.is_error():  # the mask allows the end of the answer alone
            self._give_up()
            return False
        if _allows_one(self._mask):
            self._forced.extend(self._matcher.compute_ff_tokens()[1:])
        return True

    def _give_up(self) -> None:
        log.warning("a grammar takes too long to match: %s", self._matcher.get_error().strip().splitlines()[0])
        self._grammar.is_broken = True
        self.failed = True


def _allows_one(mask: npt.NDArray[np.int32]) -> bool:
    words = mask[mask != 0].view(np.uint32)
    return len(words) == 1 and int(words[0]).bit_count() == 1


def masked(logits: mx.array, mask: Any) -> mx.array:
    """Logits with minus infinity where the mask bit is not set.

    logits: [1, vocabulary]; mask: int32 NumPy array [1, ceil(vocabulary / 32)], lowest bit first.
    """
    allowed = _byte_table(logits.dtype)[mx.array(mask).view(mx.uint8)].flatten(-2)
    return logits + allowed[..., : logits.shape[-1]]


@cache
def _byte_table(dtype: mx.Dtype) -> mx.array:
    """What the eight bits of each mask byte add to eight logits: [256, 8]."""
    rows = [bits[::-1] for bits in itertools.product((float("-inf"), 0.0), repeat=8)]
    return mx.array(rows, dtype=dtype)
