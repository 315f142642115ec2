"""Decoding of OpenAI requests: what reaches the engine, and which field an error names."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.values.vocabulary import (
    ChatMessage,
    GenerationRequest,
    Role,
    Sampling,
    Thinking,
    Tool,
    ToolCall,
    ToolChoice,
    ToolMode,
)
from pensieve.api.openai.decode import UNLIMITED_TOKENS, decode_chat, decode_completion
from pensieve.core.errors import ValidationError

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
COMPLETION: dict[str, Any] = {"model": "m", "prompt": "Once"}
HI = ChatMessage(Role.USER, "Hi")
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "get", "parameters": {"type": "object"}}}
CALL: dict[str, Any] = {"id": "1", "type": "function", "function": {"name": "get", "arguments": '{"a":1}'}}
RESULT: dict[str, Any] = {"role": "tool", "tool_call_id": "1", "content": "one"}


def chat(**fields: object) -> GenerationRequest:
    return decode_chat(json.dumps({**CHAT, **fields}).encode()).generation


def called(**call: object) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": [{**CALL, **call}]}


def calling(arguments: str) -> dict[str, Any]:
    return called(function={"name": "get", "arguments": arguments})


def test_minimal_requests_leave_everything_else_to_the_model() -> None:
    assert chat() == GenerationRequest((HI,), UNLIMITED_TOKENS, Sampling())
    decoded = decode_completion(json.dumps(COMPLETION).encode())
    assert decoded.generation == GenerationRequest((ChatMessage(Role.USER, "Once"),), UNLIMITED_TOKENS, is_raw=True)
    assert (decoded.model_name, decoded.stream, decoded.include_usage) == ("m", False, False)


def test_every_message_becomes_a_turn_in_order() -> None:
    messages = [
        {"role": "system", "content": "Be kind."},
        {"role": "developer", "content": [{"type": "text", "text": "And"}, {"type": "text", "text": "brief."}]},
        *CHAT["messages"],
        {**called(), "reasoning_content": "Hm."},
        RESULT,
        {"role": "user", "content": "Thanks", "name": "Ada"},
    ]
    assert chat(messages=messages).messages == (
        ChatMessage(Role.SYSTEM, "Be kind."),
        ChatMessage(Role.SYSTEM, "And\n\nbrief."),
        HI,
        ChatMessage(Role.ASSISTANT, "", "Hm.", (ToolCall("1", "get", '{"a": 1}'),)),
        ChatMessage(Role.TOOL, "one", tool_call_id="1"),
        ChatMessage(Role.USER, "Thanks"),
    )


def test_a_call_may_have_empty_arguments() -> None:
    turns = chat(messages=[*CHAT["messages"], calling(""), RESULT]).messages
    assert turns[1].tool_calls[0].arguments == "{}"


def test_system_messages_may_stand_between_a_call_and_its_result() -> None:
    note = {"role": "system", "content": "The user is away."}
    assert len(chat(messages=[*CHAT["messages"], called(), note, RESULT]).messages) == 4


def test_max_completion_tokens_overrides_max_tokens() -> None:
    assert chat(max_tokens=5).max_tokens == 5
    assert chat(max_tokens=5, max_completion_tokens=7).max_tokens == 7


@pytest.mark.parametrize(
    ("wire", "choice"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice(ToolMode.NONE)),
        ("required", ToolChoice(ToolMode.ANY)),
        ({"type": "function", "function": {"name": "get"}}, ToolChoice(ToolMode.TOOL, "get")),
    ],
)
def test_tools_and_tool_choice_are_decoded(wire: object, choice: ToolChoice) -> None:
    decoded = chat(tools=[TOOL], tool_choice=wire)
    assert decoded.tools == (Tool("get", "", '{"type": "object"}'),)
    assert decoded.tool_choice == choice
    assert not chat(tools=[TOOL], parallel_tool_calls=False).tool_choice.parallel


def test_a_function_without_parameters_gets_an_empty_schema() -> None:
    (tool,) = chat(tools=[{"type": "function", "function": {"name": "get"}}]).tools
    assert json.loads(tool.input_schema) == {"type": "object", "properties": {}}


@pytest.mark.parametrize(
    ("wire", "schema"),
    [
        ({"type": "text"}, None),
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}, {"type": "array"}),
    ],
)
def test_a_response_format_becomes_the_output_schema(wire: object, schema: object) -> None:
    output_schema = chat(response_format=wire).output_schema
    assert (None if output_schema is None else json.loads(output_schema)) == schema


@pytest.mark.parametrize(
    ("effort", "thinking"),
    [
        (None, Thinking()),
        ("none", Thinking(effort="minimal")),
        ("minimal", Thinking(effort="minimal")),
        ("low", Thinking(enabled=True, effort="low")),
        ("xhigh", Thinking(enabled=True, effort="xhigh")),
        ("max", Thinking(enabled=True, effort="max")),
    ],
)
def test_an_effort_enables_thinking(effort: str | None, thinking: Thinking) -> None:
    assert chat(reasoning_effort=effort).thinking == thinking


@pytest.mark.parametrize(
    ("enable", "effort", "thinking"),
    [
        (True, None, Thinking(enabled=True)),
        (False, None, Thinking()),
        (False, "high", Thinking(effort="high")),
        (True, "none", Thinking(enabled=True, effort="minimal")),
        (None, "low", Thinking(enabled=True, effort="low")),
    ],
)
def test_enable_thinking_overrides_an_effort(enable: object, effort: str | None, thinking: Thinking) -> None:
    decoded = chat(chat_template_kwargs={"enable_thinking": enable, "other": [1]}, reasoning_effort=effort)
    assert decoded.thinking == thinking


def test_sampling_parameters_of_vllm_are_decoded() -> None:
    fields = {"temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.1, "repetition_penalty": 1.1}
    assert chat(**fields).sampling == Sampling(0.0, 0.5, 3, 0.1, 1.1)
    completion = decode_completion(json.dumps({**COMPLETION, **fields}).encode())
    assert completion.generation.sampling == chat(**fields).sampling


@pytest.mark.parametrize("top_k", [0, -1])
def test_a_top_k_of_0_or_minus_1_overrides_the_default_of_the_model(top_k: int) -> None:
    assert chat(top_k=top_k).sampling == Sampling(top_k=0)


@pytest.mark.parametrize(
    "fields",
    [
        {
            "n": 1,
            "logprobs": False,
            "top_logprobs": 0,
            "logit_bias": {},
            "presence_penalty": 0.0,
            "modalities": ["text"],
        },
        {"n": None, "logprobs": None, "stop": None, "tools": None, "tool_choice": None, "temperature": None},
        {"seed": 7, "user": "u", "store": True, "metadata": {}, "verbosity": "low", "service_tier": "auto", "x": {}},
    ],
)
def test_fields_without_an_effect_are_accepted(fields: dict[str, object]) -> None:
    assert chat(**fields) == chat()


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"model": None}, "model"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "function", "content": "x", "name": "get"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "messages.0.content.0"),
        ({"messages": [RESULT]}, "messages.0.tool_call_id"),
        ({"messages": [*CHAT["messages"], called(id="2"), RESULT]}, "messages.2.tool_call_id"),
        ({"messages": [*CHAT["messages"], called()]}, "messages.1.tool_calls"),
        ({"messages": [called(), *CHAT["messages"], RESULT]}, "messages.0.tool_calls"),
        *(
            ({"messages": [*CHAT["messages"], calling(text), RESULT]}, "messages.1.tool_calls.0.function.arguments")
            for text in ("{", "[]", "5", " ", '{"a": NaN}', '{"a": "\\ud800"}', '{"a":' + "[" * 10_000)
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "get"}}]}, "tools.0.type"),
        ({"tools": [{**TOOL, "function": {"name": "not this"}}]}, "tools.0.function.name"),
        (
            {"tools": [{**TOOL, "function": {"name": "get", "parameters": {"type": "string"}}}]},
            "tools.0.function.parameters.type",
        ),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.type"),
        ({"reasoning_effort": "some"}, "reasoning_effort"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format.json_schema.schema"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": 2.5}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -2}, "top_k"),
        ({"top_k": 2.5}, "top_k"),
        ({"min_p": 1.5}, "min_p"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repetition_penalty": 10.5}, "repetition_penalty"),
        ({"chat_template_kwargs": {"enable_thinking": "yes"}}, "chat_template_kwargs.enable_thinking"),
        ({"stop": ""}, "stop"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        *(
            ({field: value}, field)
            for field, value in {
                "n": 2,
                "logprobs": True,
                "top_logprobs": 3,
                "logit_bias": {"50256": -100},
                "presence_penalty": 0.5,
                "frequency_penalty": -1,
                "modalities": ["text", "audio"],
                "web_search_options": {},
                "functions": [{"name": "get"}],
                "function_call": {"name": "get"},
            }.items()
        ),
    ],
)
def test_an_error_names_the_field_of_a_chat(fields: dict[str, object], path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        chat(**fields)
    assert caught.value.field == path


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [""]}, "prompt.0"),
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt.0"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True}, "echo"),
        ({"suffix": "."}, "suffix"),
        ({"logprobs": 0}, "logprobs"),
    ],
)
def test_an_error_names_the_field_of_a_completion(fields: dict[str, object], path: str) -> None:
    with pytest.raises(ValidationError) as caught:
        decode_completion(json.dumps({**COMPLETION, **fields}).encode())
    assert caught.value.field == path


def test_a_list_of_one_prompt_means_that_prompt() -> None:
    listed = decode_completion(json.dumps({**COMPLETION, "prompt": ["Once"]}).encode())
    assert listed == decode_completion(json.dumps(COMPLETION).encode())


@given(st.text())
def test_any_text_as_arguments_is_decoded_or_refused(text: str) -> None:
    try:
        turns = chat(messages=[*CHAT["messages"], calling(text), RESULT]).messages
    except ValidationError as error:
        assert error.field == "messages.1.tool_calls.0.function.arguments"  # noqa: PT017 - both outcomes are valid
    else:
        assert isinstance(json.loads(turns[1].tool_calls[0].arguments), dict)
