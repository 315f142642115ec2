"""What is refused in OpenAI requests, and which field the error names."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pensieve.api.openai.decode import decode_completion
from pensieve.core.errors import ValidationError
from tests.api.openai.test_decode import CHAT, COMPLETION, RESULT, TOOL, allowing, called, calling, chat


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
            for text in ([1], 5, False)
        ),
        ({"tools": [{"type": "custom", "custom": {"name": "get"}}]}, "tools.0.type"),
        ({"tools": [{**TOOL, "function": {"name": "not this"}}]}, "tools.0.function.name"),
        (
            {"tools": [{**TOOL, "function": {"name": "get", "parameters": {"type": "string"}}}]},
            "tools.0.function.parameters.type",
        ),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools"),
        (
            {"tools": [TOOL], "tool_choice": allowing("get", "put")},
            "tool_choice.allowed_tools.tools.1.function.name",
        ),
        ({"tool_choice": {"type": "custom", "custom": {"name": "get"}}}, "tool_choice.type"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type"),
        ({"messages": [*CHAT["messages"], called(type="custom")]}, "messages.1.tool_calls.0.type"),
        ({"messages": [{"role": "assistant", "function_call": {"name": "get"}}]}, "messages.0.function_call"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
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
                "presence_penalty": 2.5,
                "frequency_penalty": -3,
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


@given(st.text())
def test_any_text_as_arguments_is_an_object_in_the_prompt(text: str) -> None:
    turns = chat(messages=[*CHAT["messages"], calling(text), RESULT]).messages
    assert isinstance(json.loads(turns[1].tool_calls[0].arguments), dict)
