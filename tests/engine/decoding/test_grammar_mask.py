"""Grammars: what they require of a model's tokenizer, which schemas they accept, and how many are cached."""

import itertools
import json
from dataclasses import replace
from typing import Any, cast

import mlx.core as mx
import pytest
from llguidance import LLMatcher

from contracts.values.vocabulary import ChatMessage, GenerationRequest, ModelFeature, Role, Tool, ToolChoice, ToolMode
from pensieve.core.dialects.dialect import CallForm, CallSyntax, Dialect
from pensieve.core.errors import ValidationError
from pensieve.engine.decoding.enforced_schemas import ANY_OBJECT, MAX_WORK, EnforcedSchemas, work_of
from pensieve.engine.decoding.grammar_mask import GrammarMask, Grammars
from pensieve.engine.decoding.thinking_budget import last_token
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.load import LoadedModel, load
from pensieve.models.tokenizers.compiled_grammar import AnswerMatcher

TOOL = Tool("act", "Act", '{"type": "object"}')
PLAIN = GenerationRequest((ChatMessage(Role.USER, "Go."),), max_tokens=8)


@pytest.fixture
def unreadable(tiny_folder: ModelFolder) -> LoadedModel:
    """The tiny model, as if its tokenizer were written in Python."""
    model = load(tiny_folder)
    return replace(model, features=model.features - {ModelFeature.JSON_MODE, ModelFeature.TOOL_CALLING})


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (replace(PLAIN, tools=(TOOL,), tool_choice=ToolChoice(ToolMode.ANY)), "tool_choice"),
        (replace(PLAIN, output_schema=TOOL.input_schema), "output_config.format"),
    ],
)
def test_a_required_grammar_is_refused_if_the_vocabulary_cannot_be_read(
    unreadable: LoadedModel, request_: GenerationRequest, field: str
) -> None:
    with pytest.raises(ValidationError, match=r"tokenizer\.json") as caught:
        Grammars(unreadable).matcher_for(request_, starts_thinking=False)
    assert caught.value.field == field


def test_optional_tools_are_unconstrained_if_the_vocabulary_cannot_be_read(unreadable: LoadedModel) -> None:
    assert Grammars(unreadable).matcher_for(replace(PLAIN, tools=(TOOL,)), starts_thinking=False) is None


def test_the_memos_of_new_schemas_stay_within_their_bytes(tiny_folder: ModelFolder) -> None:
    grammars = Grammars(load(tiny_folder), max_bytes=3_000_000, max_verdicts_bytes=20_000)
    for number in range(500):
        tool = replace(TOOL, input_schema=f'{{"type": "object", "required": ["a{number}"]}}')
        assert grammars.matcher_for(replace(PLAIN, tools=(tool,)), starts_thinking=False) is not None
        assert grammars.num_bytes <= 3_020_000
    assert grammars.num_bytes > 2_500_000


SELF_REQUIRING = '{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}'
PRIVATE_USE = '{"type": "object", "properties": {"\U0010ff00": {}}}'
CONTRADICTORY = (
    '{"type": "object", "properties": {"a": {"type": "integer", "minimum": 2, "maximum": 1}}, "required": ["a"]}'
)
NOTHING_LEFT = '{"type": "object", "properties": {}, "required": ["a"], "additionalProperties": false}'


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        (SELF_REQUIRING, ""),
        (PRIVATE_USE, ""),
        (CONTRADICTORY, ".properties.a"),
        (NOTHING_LEFT, ""),
    ],
)
def test_a_tool_that_no_call_can_satisfy_is_relaxed_or_refused(
    tiny_folder: ModelFolder, schema: str, place: str
) -> None:
    grammars, tool = Grammars(load(tiny_folder)), replace(TOOL, input_schema=schema)
    assert grammars.matcher_for(replace(PLAIN, tools=(tool,)), starts_thinking=False) is not None
    forced = replace(PLAIN, tools=(tool,), tool_choice=ToolChoice(ToolMode.ANY))
    strict = replace(PLAIN, tools=(replace(tool, strict=True),))
    for request in (forced, strict):
        with pytest.raises(ValidationError, match="no call of the tool 'act' can satisfy its schema") as caught:
            grammars.matcher_for(request, starts_thinking=False)
        assert caught.value.field == f"tools.0.input_schema{place}"


DEEP = '{"type": "object", "properties": {"a": ' * 400 + "{}" + "}}" * 400
OLD_DRAFT = '{"$schema": "http://json-schema.org/draft-03/schema#", "type": "object", "required": true}'


@pytest.mark.parametrize("schema", [DEEP, OLD_DRAFT])
def test_a_tool_whose_schema_cannot_be_read_can_be_called_unless_it_is_strict(
    tiny_folder: ModelFolder, schema: str
) -> None:
    grammars, tool = Grammars(load(tiny_folder)), replace(TOOL, input_schema=schema)
    forced = replace(PLAIN, tools=(tool,), tool_choice=ToolChoice(ToolMode.ANY))
    assert grammars.matcher_for(forced, starts_thinking=False) is not None
    with pytest.raises(ValidationError, match="is strict"):
        grammars.matcher_for(replace(PLAIN, tools=(replace(tool, strict=True),)), starts_thinking=False)


def test_tools_whose_grammar_does_not_compile_are_relaxed_if_optional(
    tiny_folder: ModelFolder,
) -> None:
    model = load(tiny_folder)
    tagged = Dialect(calls=CallSyntax(CallForm.TAGGED, "<c>", "{name}{parameters}</c>", parameter="<{key}>{value}</p>"))
    grammars = Grammars(replace(model, dialect=tagged))
    items = '{"type": "array", "items": {"type": "null", "const": 1}, "minItems": 1}'  # impossible, but it is optional
    tool = replace(TOOL, input_schema='{"type": "object", "properties": {"a": ' + items + "}}")
    assert grammars.matcher_for(replace(PLAIN, tools=(tool,)), starts_thinking=False) is not None
    with pytest.raises(ValidationError, match="too complex to enforce"):
        grammars.matcher_for(replace(PLAIN, tools=(tool,), tool_choice=ToolChoice(ToolMode.ANY)), starts_thinking=False)


def _constrained(tiny_folder: ModelFolder, schema: object, **limits: int) -> tuple[Grammars, AnswerMatcher, int]:
    model = load(tiny_folder)
    grammars = Grammars(model, **limits)
    matcher = grammars.matcher_for(replace(PLAIN, output_schema=json.dumps(schema)), starts_thinking=False)
    assert matcher is not None
    return grammars, matcher, model.vocabulary_size


class _Counting:
    """A matcher that counts how often it reads what must come."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher, self.num_readings = matcher, 0

    def compute_ff_tokens(self) -> list[int]:
        self.num_readings += 1
        return self._matcher.compute_ff_tokens()

    def unsafe_compute_mask_ptr(self, *arguments: int) -> None:
        self.num_readings += 1
        self._matcher.unsafe_compute_mask_ptr(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._matcher, name)


def test_text_that_must_come_is_read_once(tiny_folder: ModelFolder) -> None:
    """For each token, llguidance would read all that is left of it."""
    _, answer, vocabulary_size = _constrained(tiny_folder, {"const": list(range(300))})
    matcher = _Counting(answer.matcher)
    mask, tokens = GrammarMask(AnswerMatcher(cast("LLMatcher", matcher), answer.grammar), vocabulary_size), [0]
    while not matcher.is_stopped() and not mask.failed and len(tokens) < 3000:
        logits = mask(mx.array(tokens), mx.zeros((1, vocabulary_size)))
        tokens.append(last_token(mx.argmax(logits, axis=-1)))
    text = load(tiny_folder).tokenizer.decode(tokens[1:-1])
    assert json.loads(text) == list(range(300))
    assert matcher.num_readings < 10


def test_a_grammar_that_has_learned_much_is_compiled_again(tiny_folder: ModelFolder) -> None:
    schema = {"type": "string"}
    grammars, answer, vocabulary_size = _constrained(tiny_folder, schema, max_bytes=1_000_000)
    mask, tokens = GrammarMask(answer, vocabulary_size), [0]
    quote = load(tiny_folder).tokenizer.encode('"', add_special_tokens=False)[0]
    letter = load(tiny_folder).tokenizer.encode("a", add_special_tokens=False)[0]
    for token in [quote, *[letter] * 200]:
        mask(mx.array(tokens), mx.zeros((1, vocabulary_size)))
        tokens.append(token)
    again = grammars.matcher_for(replace(PLAIN, output_schema=json.dumps(schema)), starts_thinking=False)
    assert again is not None
    assert again.grammar is not answer.grammar
    assert grammars.num_bytes < 1_000_000


def test_an_answer_whose_grammar_gives_up_fails_and_the_next_one_has_a_new_grammar(tiny_folder: ModelFolder) -> None:
    """Its mask would allow the end of the answer alone, and so would that of all later answers."""
    schema = {"type": "string", "pattern": "(a|b).{0,1000}(c|d).{0,1000}e"}
    grammars, answer, vocabulary_size = _constrained(tiny_folder, schema)
    mask, written = GrammarMask(answer, vocabulary_size), itertools.cycle(_token_ids(tiny_folder, "acbd"))
    next_ids = itertools.chain([None], _token_ids(tiny_folder, '"'), itertools.islice(written, 200))
    assert any(mask.after(token_id) is None for token_id in next_ids)
    assert mask.failed
    again = grammars.matcher_for(replace(PLAIN, output_schema=json.dumps(schema)), starts_thinking=False)
    assert again is not None
    assert GrammarMask(again, vocabulary_size).after(None) is not None


def _token_ids(folder: ModelFolder, characters: str) -> list[int]:
    tokenizer = load(folder).tokenizer
    return [tokenizer.encode(each, add_special_tokens=False)[0] for each in characters]


MANY_PATTERNS = json.dumps(
    {"type": "object", "patternProperties": {f"^p{at}_": {"type": "string"} for at in range(128)}}
)
LARGE_MULTIPLES = json.dumps(
    {"type": "object", "properties": {f"p{at}": {"type": "integer", "multipleOf": 10_000} for at in range(10)}}
)


@pytest.mark.parametrize("schema", [MANY_PATTERNS, LARGE_MULTIPLES])
def test_the_tools_of_a_request_are_bounded_by_what_takes_longest_to_compile(schema: str) -> None:
    schemas = EnforcedSchemas(Dialect())
    num_fitting = MAX_WORK // work_of(schema)
    tools = tuple(Tool(f"act{at}", "Act", schema) for at in range(num_fitting + 1))
    found = schemas.of(replace(PLAIN, tools=tools)).tools
    assert [tool.input_schema == ANY_OBJECT for tool in found] == [False] * num_fitting + [True]
    with pytest.raises(ValidationError, match="too long to compile") as caught:
        schemas.of(replace(PLAIN, tools=tools, tool_choice=ToolChoice(ToolMode.ANY)))
    assert caught.value.field == f"tools.{num_fitting}.input_schema"
