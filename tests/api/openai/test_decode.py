"""Decoding of OpenAI requests: what reaches the engine, and which field an error names."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from pensieve.api.http.body_values import MAX_VALUES
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


def allowing(*names: str, mode: str = "auto") -> dict[str, Any]:
    tools = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}


def calling(arguments: object) -> dict[str, Any]:
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


@pytest.mark.parametrize(
    ("arguments", "text"),
    [("", "{}"), (None, "{}"), ("null", "{}"), ({}, "{}"), ({"a": {"b": "ü"}}, '{"a": {"b": "ü"}}')],
)
def test_a_call_may_have_empty_arguments_or_an_object(arguments: object, text: str) -> None:
    turns = chat(messages=[*CHAT["messages"], calling(arguments), RESULT]).messages
    assert turns[1].tool_calls[0].arguments == text


@pytest.mark.parametrize(
    "text", ["{", "[1]", "5", "0", '""', " ", "UTC", '{"a": NaN}', '{"a": "\\ud800"}', '{"a":' + "[" * 10_000]
)
def test_broken_arguments_of_a_model_are_kept_as_they_are(text: str) -> None:
    turns = chat(messages=[*CHAT["messages"], calling(text), RESULT]).messages
    assert json.loads(turns[1].tool_calls[0].arguments) == {"arguments": text}


@pytest.mark.parametrize("text", ['{"a": [' + "0," * MAX_VALUES + "0]}", "[" * (MAX_VALUES + 1)])
def test_arguments_of_more_values_than_a_body_may_have_are_refused(text: str) -> None:
    """A parser of millions of them would hold the interpreter's lock for seconds."""
    with pytest.raises(ValidationError, match="more than 200000 JSON values") as refused:
        chat(messages=[*CHAT["messages"], calling(text), RESULT])
    assert refused.value.field == "messages.1.tool_calls.0.function.arguments"


def test_what_cannot_be_read_is_marked_in_older_messages_and_results() -> None:
    image, audio = ({"type": kind} for kind in ("image_url", "input_audio"))
    file = {"type": "file", "file": {"file_id": ""}}
    seen = {"role": "user", "content": [{"type": "text", "text": "See:"}, image, audio, {"type": "of_tomorrow"}]}
    refusal = {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    result = {**RESULT, "content": [{"type": "text", "text": "one"}, image, file]}
    turns = chat(messages=[seen, refusal, *CHAT["messages"], called(), result]).messages
    assert [turn.text for turn in turns] == [
        "See:\n\n[an image, which this model cannot see]\n\n[a recording, which this model cannot hear]\n\n"
        "[a block of type of_tomorrow, which this model cannot read]",
        "No.",
        "Hi",
        "",
        "one\n\n[an image, which this model cannot see]\n\n<document>\n[a document, which this model cannot read]\n"
        "</document>",
    ]


def test_an_image_that_was_refused_does_not_stop_the_next_message() -> None:
    seen = {"role": "user", "content": [{"type": "image_url"}]}
    assert chat(messages=[seen, *CHAT["messages"]]).messages[0].text == "[an image, which this model cannot see]"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_thinking_in_history_has_two_names(name: str) -> None:
    answered = {"role": "assistant", "content": "Yes.", name: "Hm."}
    assert chat(messages=[*CHAT["messages"], answered]).messages[1] == ChatMessage(Role.ASSISTANT, "Yes.", "Hm.")


def test_a_refusal_in_history_is_the_text_of_its_message() -> None:
    refused = {"role": "assistant", "content": None, "refusal": "No.", "function_call": None, "audio": None}
    assert chat(messages=[*CHAT["messages"], refused]).messages[1] == ChatMessage(Role.ASSISTANT, "No.")


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


def test_allowed_tools_leave_out_the_others() -> None:
    other = {"type": "function", "function": {"name": "put"}}
    decoded = chat(tools=[TOOL, other], tool_choice=allowing("get", mode="required"))
    assert [tool.name for tool in decoded.tools] == ["get"]
    assert decoded.tool_choice == ToolChoice(ToolMode.ANY)


def test_parameters_without_a_type_are_those_of_an_object() -> None:
    schema = {"properties": {"a": {"type": "string"}}}
    (tool,) = chat(tools=[{"type": "function", "function": {"name": "get", "parameters": schema}}]).tools
    assert json.loads(tool.input_schema) == {"type": "object", **schema}


def test_a_function_without_parameters_gets_an_empty_schema() -> None:
    for function in ({"name": "get"}, {"name": "get", "parameters": None}, {"name": "get", "parameters": {}}):
        (tool,) = chat(tools=[{"type": "function", "function": function}]).tools
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


def test_sampling_parameters_are_decoded_those_of_vllm_included() -> None:
    penalties = {"repetition_penalty": 1.1, "presence_penalty": 1.5, "frequency_penalty": -0.5}
    fields = {"temperature": 0, "top_p": 0.5, "top_k": 3, "min_p": 0.1, **penalties}
    assert chat(**fields).sampling == Sampling(0.0, 0.5, 3, 0.1, 1.1, 1.5, -0.5)
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
            "modalities": ["text"],
        },
        {"n": None, "logprobs": None, "stop": None, "tools": None, "tool_choice": None, "temperature": None},
        {"seed": 7, "user": "u", "store": True, "metadata": {}, "verbosity": "low", "service_tier": "auto", "x": {}},
    ],
)
def test_fields_without_an_effect_are_accepted(fields: dict[str, object]) -> None:
    assert chat(**fields) == chat()


def test_a_list_of_one_prompt_means_that_prompt() -> None:
    listed = decode_completion(json.dumps({**COMPLETION, "prompt": ["Once"]}).encode())
    assert listed == decode_completion(json.dumps(COMPLETION).encode())


def test_strict_functions_and_formats_are_decoded() -> None:
    function = {"name": "act", "strict": True, "parameters": {"type": "object"}}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": "Go."}],
        "tools": [{"type": "function", "function": function}],
        "response_format": wanted,
    }
    generation = decode_chat(json.dumps(body).encode()).generation
    assert generation.strict_output
    assert [(tool.strict, tool.place) for tool in generation.tools] == [(True, "tools.0")]


def test_too_many_tools_are_refused_with_the_limit() -> None:
    tools = [{"type": "function", "function": {"name": f"t{number}"}} for number in range(513)]
    with pytest.raises(ValidationError, match=r"^tools: the request has 513 tools, more than 512"):
        chat(tools=tools)
