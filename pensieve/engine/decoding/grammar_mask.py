"""Constrains decoding to a grammar (W14, W16) with llguidance, which computes the tokens allowed next.

`Grammars` compiles and caches the grammars of an engine. A `GrammarMask` masks one request's logits on the MLX thread.
"""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Final

import mlx.core as mx
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from contracts.values.vocabulary import GenerationRequest, ModelFeature, Tool, ToolMode
from pensieve.core.dialects.grammar import answer_grammar, schema_grammar
from pensieve.core.dialects.writable import why_not_writable
from pensieve.core.errors import ValidationError
from pensieve.engine.decoding.bounded_memo import BoundedMemo
from pensieve.engine.decoding.thinking_budget import last_token
from pensieve.models.tokenizers.grammar_tokenizer import grammar_tokenizer

if TYPE_CHECKING:
    from pensieve.models.loading.load import LoadedModel

log = logging.getLogger(__name__)

_ANY_OBJECT = '{"type": "object"}'
MAY_RELAX: Final = (ToolMode.AUTO, ToolMode.NONE)
MAX_GRAMMARS: Final = 64
MAX_VERDICTS: Final = 1024
MAX_CHARACTERS: Final = 4_000_000
"""The limit for cached grammars, and for schemas with cached verdicts: clients may keep sending new ones."""


class Grammars:
    """Compiles the grammars of one model's requests, each text once. Not thread-safe."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._compiled: BoundedMemo[LLMatcher] = BoundedMemo(MAX_GRAMMARS, MAX_CHARACTERS)
        self._verdicts: BoundedMemo[str] = BoundedMemo(MAX_VERDICTS, MAX_CHARACTERS)

    @property
    def num_cached(self) -> int:
        """The number of compiled grammars and verdicts in the cache."""
        return len(self._compiled) + len(self._verdicts)

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

    def matcher_for(self, request: GenerationRequest, *, starts_thinking: bool) -> LLMatcher | None:
        """The matcher for the grammar that an answer to `request` must follow, or None if it is unconstrained.

        Raises:
            ValidationError: a schema is invalid, or cannot be enforced although the request requires it. The field is
                the schema's path in the request.
        """
        if not self._model.supports(ModelFeature.JSON_MODE):
            _require_unconstrained(request)
            return None
        request, lenient = self._with_enforceable_schemas(request)
        try:
            return self._compiled_for(request, frozenset(lenient), starts_thinking=starts_thinking)
        except ValidationError as error:
            if request.tool_choice.mode not in MAY_RELAX:
                raise
            log.warning(
                "the tools' schemas cannot be enforced together, so any object is accepted as arguments: %s", error
            )
        relaxed = tuple(replace(tool, input_schema=_ANY_OBJECT) for tool in request.tools)
        return self._compiled_for(
            replace(request, tools=relaxed), frozenset(lenient & {""}), starts_thinking=starts_thinking
        )

    def _compiled_for(
        self, request: GenerationRequest, lenient: frozenset[str], *, starts_thinking: bool
    ) -> LLMatcher | None:
        grammar = answer_grammar(request, self._model.dialect, starts_thinking=starts_thinking, lenient=lenient)
        if grammar is None:
            return None

        def compiled() -> LLMatcher:
            matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
            if matcher.is_error():
                problem = _first_line(matcher.get_error())
                raise ValidationError("tools", f"their schemas are too complex to enforce together: {problem}")
            return matcher

        return self._compiled.get(grammar, compiled).deep_copy()

    def _with_enforceable_schemas(self, request: GenerationRequest) -> tuple[GenerationRequest, set[str]]:
        """The request with enforceable schemas, and the names of the tools whose schemas are enforced only in part.

        An optional tool must not make a request fail: if its schema cannot be enforced, any object is accepted as its
        arguments.
        """
        lenient: set[str] = set()
        tools = list(request.tools)
        may_relax = request.tool_choice.mode in MAY_RELAX
        for number, tool in enumerate(tools):
            problem = self._why_not_writable(tool) or self._judge(tool.name, tool.input_schema, lenient)
            if problem and not may_relax:
                raise ValidationError(f"tools.{number}.input_schema", f"it cannot be enforced: {problem}")
            if problem:
                log.warning(
                    "a tool's schema cannot be enforced, so any object is accepted as its arguments: %s", problem
                )
                tools[number] = replace(tool, input_schema=_ANY_OBJECT)
        if request.output_schema is not None:
            problem = self._judge("", request.output_schema, lenient)
            if problem:
                raise ValidationError("output_config.format.schema", problem)
        return replace(request, tools=tuple(tools)), lenient

    def _why_not_writable(self, tool: Tool) -> str:
        """Why the dialect cannot express calls of a tool, or "" if it can."""
        try:
            return self._verdicts.get(
                f"calls {tool.input_schema}", lambda: why_not_writable(tool.input_schema, self._model.dialect)
            )
        except RecursionError:
            return "it nests too deeply"

    def _judge(self, name: str, schema: str, lenient: set[str]) -> str:
        """Why a schema cannot be enforced, or "". Adds `name` to `lenient` if it can be enforced only in part."""
        if not self._problem(schema, lenient=False):
            return ""
        problem = self._problem(schema, lenient=True)
        if not problem:
            lenient.add(name)
        return problem

    def _problem(self, schema: str, *, lenient: bool) -> str:
        def verdict() -> str:
            matcher = LLMatcher(self._tokenizer, schema_grammar(schema, lenient=lenient), log_level=0)
            return _first_line(matcher.get_error()) if matcher.is_error() else ""

        return self._verdicts.get(f"{'lenient' if lenient else 'strict'} {schema}", verdict)


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


def _first_line(error: str) -> str:
    """Llguidance quotes the whole grammar after the first line of its messages."""
    return error.strip().splitlines()[0].removeprefix("at 1(8): ").removeprefix("failed to compile JSON schema: ")


class GrammarMask:
    """A logits processor for mlx-lm: (token ids so far, logits [1, vocabulary]) to logits.

    Once the grammar is complete, its mask allows only the end of the turn. It never raises, since that would fail the
    batch's other rows too; `failed` marks its own row as lost.
    """

    def __init__(self, matcher: LLMatcher, vocabulary_size: int) -> None:
        self._matcher = matcher
        self._mask = allocate_token_bitmask(1, vocabulary_size)
        self._has_begun = False
        self.failed = False

    def __call__(self, token_ids: mx.array, logits: mx.array) -> mx.array:
        try:
            if self._has_begun and not self._matcher.is_stopped():
                self.failed |= not self._matcher.consume_token(last_token(token_ids))
            self._has_begun = True
            if self.failed:
                return logits
            fill_next_token_bitmask(self._matcher, self._mask)
            return masked(logits, self._mask)
        except Exception:
            log.exception("a grammar failed, and its request with it")
            self.failed = True
            return logits


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
