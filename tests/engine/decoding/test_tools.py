"""Tool calls, thinking and constrained answers on a tiny random model, which generates nothing sensible by itself."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import jsonschema
import mlx.core as mx
import numpy as np
import pytest
from llguidance.numpy import allocate_token_bitmask

from contracts.checked import checked
from contracts.protocols.inference import InferenceModel
from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    TextGenerated,
    ThinkingGenerated,
    ToolArgumentsGenerated,
    ToolCallStarted,
)
from contracts.values.vocabulary import (
    ChatMessage,
    GenerationRequest,
    Prompt,
    Role,
    Sampling,
    StopReason,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from pensieve.core.errors import GenerationError, ValidationError
from pensieve.device.memory.ledger import Ledger
from pensieve.engine.decoding.grammar_mask import GrammarMask, masked
from pensieve.engine.loop.faults import MAX_FAILED_REQUESTS
from pensieve.engine.monitoring.monitor import SlidingWindowMonitor
from pensieve.engine.scripted.engine import ScriptedEngine
from pensieve.engine.scripted.script import Script, ScriptedReply
from tests.support.engines import GIB, MakeEngine

SCHEMA = {
    "type": "object",
    "properties": {"size": {"enum": ["small", "large"]}, "count": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["size", "count"],
    "additionalProperties": False,
}
ORDER = Tool("order", "Order something", json.dumps(SCHEMA))
CANCEL = Tool("cancel", "Cancel the order", '{"type": "object", "properties": {}, "additionalProperties": false}')
ODD = Tool(
    "odd",
    "Do something odd",
    '{"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)", "maxLength": 2}}, '
    '"required": ["a"], "additionalProperties": false}',
)
GREEDY = Sampling(temperature=0.0)
WILD = Sampling(temperature=2.0)


def user_request(**given: Any) -> GenerationRequest:
    given = {"max_tokens": 200, "sampling": WILD, **given}
    return GenerationRequest((ChatMessage(Role.USER, "Two large ones."),), **given)


async def events_of(model: InferenceModel, request: GenerationRequest) -> list[GenerationEvent]:
    async with aclosing(checked(InferenceModel, model).generate(request)) as events:
        return [event async for event in events]


def calls_of(events: list[GenerationEvent]) -> list[tuple[str, Any]]:
    calls: list[tuple[str, str]] = []
    for event in events:
        if isinstance(event, ToolCallStarted):
            calls.append((event.name, ""))
        elif isinstance(event, ToolArgumentsGenerated):
            calls[-1] = (calls[-1][0], calls[-1][1] + event.json)
    return [(name, json.loads(arguments)) for name, arguments in calls]


def finish_of(events: list[GenerationEvent]) -> GenerationFinished:
    assert isinstance(events[-1], GenerationFinished)
    return events[-1]


def text_of(events: list[GenerationEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextGenerated))


@pytest.mark.parametrize("mode", [ToolMode.ANY, ToolMode.TOOL])
def test_a_forced_call_satisfies_its_schema_whatever_the_model_prefers(make_engine: MakeEngine, mode: ToolMode) -> None:
    name = "order" if mode is ToolMode.TOOL else None
    request = user_request(tools=(ORDER, CANCEL), tool_choice=ToolChoice(mode, name, parallel=False))

    async def play() -> None:
        async with make_engine() as engine:
            for events in await asyncio.gather(*(events_of(engine, request) for _ in range(6))):
                ((called, arguments),) = calls_of(events)
                jsonschema.validate(arguments, SCHEMA if called == "order" else {"type": "object"})
                assert called in ("order", "cancel") if name is None else called == name
                assert finish_of(events).stop_reason is StopReason.TOOL_USE
                assert text_of(events) == ""

    asyncio.run(play())


def test_a_constrained_answer_does_not_change_a_free_one_beside_it(make_engine: MakeEngine) -> None:
    free = user_request(sampling=GREEDY, max_tokens=20)
    constrained = user_request(sampling=GREEDY, tools=(ORDER,), tool_choice=ToolChoice(ToolMode.ANY, parallel=False))

    async def play() -> None:
        async with make_engine() as engine:
            alone = text_of(await events_of(engine, free))
            together = await asyncio.gather(events_of(engine, constrained), events_of(engine, free))
            assert text_of(together[1]) == alone
            assert calls_of(together[0])

    asyncio.run(play())


def test_an_answer_follows_its_schema(make_engine: MakeEngine) -> None:
    async def play() -> None:
        async with make_engine() as engine:
            events = await events_of(engine, user_request(output_schema=json.dumps(SCHEMA)))
            jsonschema.validate(json.loads(text_of(events)), SCHEMA)
            assert finish_of(events).stop_reason is StopReason.END_TURN

    asyncio.run(play())


def test_a_call_cut_off_by_max_tokens_stays_open(make_engine: MakeEngine) -> None:
    request = user_request(tools=(ORDER,), tool_choice=ToolChoice(ToolMode.ANY, parallel=False), max_tokens=16)

    async def play() -> None:
        async with make_engine() as engine:
            assert finish_of(await events_of(engine, request)).stop_reason is StopReason.MAX_TOKENS

    asyncio.run(play())


@pytest.mark.parametrize(
    ("given", "field"),
    [
        (
            {"output_schema": '{"items": {"pattern": "(?=x)"}}', "strict_output": True},
            "output_config.format.schema.items.pattern",
        ),
        ({"output_schema": '{"items": {"$ref": "#/$defs/no"}}'}, "output_config.format.schema.items.$ref"),
        ({"output_schema": '{"type": "string", "minLength": 2, "maxLength": 1}'}, "output_config.format.schema"),
        ({"tools": (ORDER, replace(ODD, strict=True))}, "tools.1.input_schema.properties.a.pattern"),
    ],
)
def test_a_schema_that_cannot_be_enforced_is_refused_with_its_path(
    make_engine: MakeEngine, given: dict[str, Any], field: str
) -> None:
    async def play() -> None:
        async with make_engine() as engine:
            with pytest.raises(ValidationError) as caught:
                await events_of(engine, user_request(**given))
            assert caught.value.field == field

    asyncio.run(play())


def test_a_keyword_that_cannot_be_enforced_fails_no_call(make_engine: MakeEngine) -> None:
    forced = user_request(tools=(ORDER, ODD), tool_choice=ToolChoice(ToolMode.TOOL, "odd"))
    any_of_both = user_request(tools=(ORDER, ODD), tool_choice=ToolChoice(ToolMode.ANY, parallel=False))
    other = user_request(tools=(replace(ODD, strict=True), ORDER), tool_choice=ToolChoice(ToolMode.TOOL, "order"))

    async def play() -> None:
        async with make_engine() as engine:
            ((_, arguments),) = calls_of(await events_of(engine, forced))
            assert len(arguments["a"]) <= 2  # what stands beside it is enforced
            assert calls_of(await events_of(engine, any_of_both))
            assert calls_of(await events_of(engine, other))

    asyncio.run(play())


def test_tools_calls_and_results_are_counted_as_in_generation(make_engine: MakeEngine) -> None:
    call = ToolCall("toolu_1", "order", '{"size": "large", "count": 2}')
    messages = (
        ChatMessage(Role.USER, "Two large ones."),
        ChatMessage(Role.ASSISTANT, "At once.", thinking="They want two.", tool_calls=(call,)),
        ChatMessage(Role.TOOL, "none left", tool_call_id="toolu_1", is_error=True),
    )
    request = GenerationRequest(messages, 4, GREEDY, tools=(ORDER,))

    async def play() -> None:
        async with make_engine() as engine:
            counted = await engine.count_tokens(request.prompt)
            assert finish_of(await events_of(engine, request)).usage.input_tokens == counted
            assert counted > await engine.count_tokens(Prompt(messages))
            deferred = Tool(ORDER.name, ORDER.description, ORDER.input_schema, deferred=True)
            assert await engine.count_tokens(Prompt(messages, (deferred,))) == await engine.count_tokens(
                Prompt(messages)
            )

    asyncio.run(play())


def scripted(text: str) -> ScriptedEngine:
    memory = Ledger(GIB)
    return ScriptedEngine(Script((ScriptedReply(text=text),)), memory, SlidingWindowMonitor(memory.usage))


def test_thinking_is_shown_only_if_requested() -> None:
    model = scripted("<think>\nLet me see.\n</think>\n\nYes.")
    shown = asyncio.run(events_of(model, user_request(thinking=Thinking(enabled=True))))
    hidden = asyncio.run(events_of(model, user_request()))
    assert "".join(event.text for event in shown if isinstance(event, ThinkingGenerated)) == "Let me see.\n"
    assert not [event for event in hidden if isinstance(event, ThinkingGenerated)]
    assert text_of(shown) == text_of(hidden) == "Yes."


def test_generation_ends_after_one_call_without_parallel_calls() -> None:
    call = '<tool_call>\n{"name": "order", "arguments": {}}\n</tool_call> '
    model = scripted(call * 3)
    assert len(calls_of(asyncio.run(events_of(model, user_request(tools=(ORDER,)))))) == 3
    one = asyncio.run(events_of(model, user_request(tools=(ORDER,), tool_choice=ToolChoice(parallel=False))))
    assert len(calls_of(one)) == 1
    assert finish_of(one).stop_reason is StopReason.TOOL_USE


def test_stop_sequences_do_not_apply_to_tool_arguments() -> None:
    model = scripted('Well. <tool_call>\n{"name": "order", "arguments": {"a": "END"}}\n</tool_call>')
    events = asyncio.run(events_of(model, user_request(tools=(ORDER,), stop_sequences=("END",))))
    assert calls_of(events) == [("order", {"a": "END"})]


def test_a_mask_allows_exactly_its_set_bits() -> None:
    mask = allocate_token_bitmask(1, 70)
    mask[:] = 0
    for token_id in (0, 31, 32, 69):
        mask[0, token_id // 32] |= np.int32(np.uint32(1 << (token_id % 32)).view(np.int32))
    allowed = np.isfinite(np.array(masked(mx.zeros((1, 70)), mask))[0])
    assert np.flatnonzero(allowed).tolist() == [0, 31, 32, 69]


def test_a_broken_grammar_fails_only_its_own_request(make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(self: GrammarMask, token_ids: mx.array, logits: mx.array) -> mx.array:
        self.failed = True
        return logits

    async def play() -> None:
        async with make_engine() as engine:
            monkeypatch.setattr(GrammarMask, "__call__", breaking)
            constrained = events_of(engine, user_request(output_schema=json.dumps(SCHEMA)))
            free = events_of(engine, user_request(sampling=GREEDY, max_tokens=8))
            broken, whole = await asyncio.gather(constrained, free, return_exceptions=True)
            assert "schema could not be enforced" in str(broken)
            assert not isinstance(whole, BaseException)
            for number in range(MAX_FAILED_REQUESTS + 1):  # none of them is the engine's fault
                with pytest.raises(GenerationError):
                    await events_of(engine, user_request(max_tokens=20 + number, output_schema=json.dumps(SCHEMA)))
            assert await events_of(engine, user_request(sampling=GREEDY, max_tokens=8))

    asyncio.run(play())
