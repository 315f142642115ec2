"""Decoding held to a grammar (W14, W16), by llguidance: which tokens may come next, given those that came.

One `Grammars` an engine compiles and keeps; one `GrammarMask` a request masks its logits, on the MLX thread.
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
"""Of the grammars, and of the schemas, whose compiled form or verdict is kept: clients may send new ones for ever."""


class Grammars:
    """Compiles the grammars of one model's requests, each text once. Used by one thread at a time."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._compiled: BoundedMemo[LLMatcher] = BoundedMemo(MAX_GRAMMARS, MAX_CHARACTERS)
        self._verdicts: BoundedMemo[str] = BoundedMemo(MAX_VERDICTS, MAX_CHARACTERS)

    @property
    def num_kept(self) -> int:
        """Compiled grammars and verdicts that are kept."""
        return len(self._compiled) + len(self._verdicts)

    def prepare(self) -> None:
        """Build what the first request with tools would wait for, up to seconds with a large vocabulary."""
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
        """What an answer to `request` is held to, or None where it is free.

        Raises:
            ValidationError: a schema that is none, or that cannot be enforced where enforcing it was asked for; the
                message starts with its path in the request.
        """
        if not self._model.supports(ModelFeature.JSON_MODE):
            _require_free(request)
            return None
        request, lenient = self._with_known_schemas(request)
        try:
            return self._compiled_for(request, frozenset(lenient), starts_thinking=starts_thinking)
        except ValidationError as error:
            if request.tool_choice.mode not in MAY_RELAX:
                raise
            log.warning("the tools cannot be enforced together, so any objects will do: %s", error)
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
                raise ValidationError("tools", f"their schemas are too much to enforce: {problem}")
            return matcher

        return self._compiled.get(grammar, compiled).deep_copy()

    def _with_known_schemas(self, request: GenerationRequest) -> tuple[GenerationRequest, set[str]]:
        """The request with schemas that can be enforced, and the names of those that are so only in part.

        A tool that the model may call, but need not, is not worth a refusal: where its schema is beyond what can be
        enforced, any object will do.
        """
        lenient: set[str] = set()
        tools = list(request.tools)
        may_relax = request.tool_choice.mode in MAY_RELAX
        for number, tool in enumerate(tools):
            problem = self._why_not_called(tool) or self._judge(tool.name, tool.input_schema, lenient)
            if problem and not may_relax:
                raise ValidationError(f"tools.{number}.input_schema", f"it cannot be enforced: {problem}")
            if problem:
                log.warning("the schema of a tool cannot be enforced, so any object will do: %s", problem)
                tools[number] = replace(tool, input_schema=_ANY_OBJECT)
        if request.output_schema is not None:
            problem = self._judge("", request.output_schema, lenient)
            if problem:
                raise ValidationError("output_config.format.schema", problem)
        return replace(request, tools=tuple(tools)), lenient

    def _why_not_called(self, tool: Tool) -> str:
        """Why the dialect has no way to write calls of a tool, "" if it has."""
        try:
            return self._verdicts.get(
                f"calls {tool.input_schema}", lambda: why_not_writable(tool.input_schema, self._model.dialect)
            )
        except RecursionError:
            return "it nests too deeply"

    def _judge(self, name: str, schema: str, lenient: set[str]) -> str:
        """Whether a schema can be enforced: "" if it can, at least in part, else why not."""
        if not self._problem(schema, lenient=False):
            return ""
        problem = self._problem(schema, lenient=True)
        if not problem:
            lenient.add(name)
        return problem

    def _problem(self, schema: str, *, lenient: bool) -> str:
        def judged() -> str:
            matcher = LLMatcher(self._tokenizer, schema_grammar(schema, lenient=lenient), log_level=0)
            return _first_line(matcher.get_error()) if matcher.is_error() else ""

        return self._verdicts.get(f"{'lenient' if lenient else 'strict'} {schema}", judged)


def _require_free(request: GenerationRequest) -> None:
    """Tokenizers written in Python do not tell their vocabulary: answers are free there, or refused.

    Raises:
        ValidationError: the request asks for what only a grammar can give.
    """
    mend = "this model's tokenizer cannot be held to a schema: serve a model with a tokenizer.json"
    if request.tool_choice.mode in (ToolMode.ANY, ToolMode.TOOL):
        raise ValidationError("tool_choice", mend)
    if request.output_schema is not None:
        raise ValidationError("output_config.format", mend)


def _first_line(error: str) -> str:
    """Llguidance's messages quote the whole grammar below their first line."""
    return error.strip().splitlines()[0].removeprefix("at 1(8): ").removeprefix("failed to compile JSON schema: ")


class GrammarMask:
    """A logits processor of mlx-lm: (token ids so far, logits [1, vocabulary]) to logits.

    Where the grammar has ended, its mask leaves nothing but the end of the turn. It never raises, since that would lose
    the other rows of the batch: `failed` says that its own row is lost.
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
            log.exception("a grammar failed; its request fails with it")
            self.failed = True
            return logits


def masked(logits: mx.array, mask: Any) -> mx.array:
    """Logits with minus infinity where the mask has no bit.

    logits: [1, vocabulary]; mask: int32 NumPy array [1, ceil(vocabulary / 32)], lowest bit first.
    """
    allowed = _byte_table(logits.dtype)[mx.array(mask).view(mx.uint8)].flatten(-2)
    return logits + allowed[..., : logits.shape[-1]]


@cache
def _byte_table(dtype: mx.Dtype) -> mx.array:
    """For each byte of a mask, what its eight bits add to eight logits: [256, 8]."""
    rows = [bits[::-1] for bits in itertools.product((float("-inf"), 0.0), repeat=8)]
    return mx.array(rows, dtype=dtype)
