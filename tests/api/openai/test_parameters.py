"""Each parameter of OpenAI's SDK is used, refused or ignored, as docs/openai.md says. A new one fails by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pydantic
import pytest
from openai.types.chat import ChatCompletionContentPartParam, ChatCompletionMessageParam, ChatCompletionToolUnionParam
from openai.types.chat import completion_create_params as chat_params
from openai.types.chat.chat_completion_assistant_message_param import ContentArrayOfContentPart
from openai.types.completion_create_params import CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming

from pensieve.api.openai.decode import OpenAIRequest, decode_chat, decode_completion
from pensieve.api.openai.messages import ChatTurn
from pensieve.api.openai.types import ChatBody, CompletionBody
from pensieve.core.errors import ValidationError

PAGE = (Path(__file__).parents[3] / "docs" / "openai.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `(\w+)` \| (used|refused|ignored) \|", re.MULTILINE)
Decode = Callable[[bytes], OpenAIRequest]

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
COMPLETION: dict[str, Any] = {"model": "m", "prompt": "Once"}
REFUSED: Mapping[str, Any] = {
    "audio": {"format": "wav", "voice": "ash"},
    "best_of": 2,
    "echo": True,
    "function_call": {"name": "get"},
    "functions": [{"name": "get"}],
    "logit_bias": {"50256": -100},
    "logprobs": 1,
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni-moderation-latest"},
    "n": 2,
    "suffix": ".",
    "top_logprobs": 3,
    "web_search_options": {},
}
IGNORED: Mapping[str, Any] = {
    "metadata": {"a": "b"},
    "prediction": {"type": "content", "content": "Hi"},
    "prompt_cache_key": "a",
    "prompt_cache_options": {"mode": "explicit"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "a",
    "seed": 7,
    "service_tier": "flex",
    "store": True,
    "user": "a",
    "verbosity": "low",
}


def outcomes(heading: str) -> dict[str, str]:
    """What the page's table says of each field. `heading` is a section's, or that of the table's first column."""
    part = re.split(rf"^(?:## {heading}|\| {heading} \|.*)$", PAGE, maxsplit=1, flags=re.MULTILINE)[1]
    table = re.search(r"(?:^\|.*\n)+", part, re.MULTILINE)
    assert table is not None
    return dict(ROW.findall(table[0]))


def fields_of(*kinds: Any) -> set[str]:
    """The fields of TypedDicts, those of their parents included."""
    return {name for kind in kinds for name in kind.__annotations__}


def types_of(*kinds: Any) -> set[str]:
    """The values of the field `type` of TypedDicts."""
    return {get_args(get_type_hints(kind)["type"])[0] for kind in kinds}


CHAT_FIELDS = fields_of(
    chat_params.CompletionCreateParamsNonStreaming,
    chat_params.CompletionCreateParamsStreaming,
)
COMPLETION_FIELDS = fields_of(CompletionCreateParamsNonStreaming, CompletionCreateParamsStreaming)


@pytest.mark.parametrize(
    ("heading", "of_the_sdk"),
    [
        ("Fields of a chat", CHAT_FIELDS),
        ("Fields of a completion", COMPLETION_FIELDS),
        ("Messages", fields_of(*get_args(ChatCompletionMessageParam))),
        ("part", types_of(*get_args(ChatCompletionContentPartParam), *get_args(ContentArrayOfContentPart))),
        ("tool", types_of(*get_args(ChatCompletionToolUnionParam))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_page_lists_what_the_sdk_can_send(heading: str, of_the_sdk: set[str]) -> None:
    assert set(outcomes(heading)) == of_the_sdk


@pytest.mark.parametrize(
    ("heading", "body", "minimal", "decode"),
    [
        ("Fields of a chat", ChatBody, CHAT, decode_chat),
        ("Fields of a completion", CompletionBody, COMPLETION, decode_completion),
    ],
)
def test_each_field_is_treated_as_the_page_says(
    heading: str, body: type[pydantic.BaseModel], minimal: Mapping[str, Any], decode: Decode
) -> None:
    plain = decode(json.dumps(minimal).encode())
    for name, outcome in outcomes(heading).items():
        assert (name in body.model_fields) == (outcome != "ignored"), name
        if outcome == "refused":
            with pytest.raises(ValidationError) as caught:
                decode(json.dumps({**minimal, name: REFUSED[name]}).encode())
            assert caught.value.field == name
        if outcome == "ignored":
            assert decode(json.dumps({**minimal, name: IGNORED[name]}).encode()) == plain


def test_each_field_of_a_message_is_treated_as_the_page_says() -> None:
    for name, outcome in outcomes("Messages").items():
        assert (name in ChatTurn.model_fields) == (outcome != "ignored"), name


def sent_part(part: Mapping[str, Any]) -> dict[str, Any]:
    return {**CHAT, "messages": [{"role": "user", "content": [part]}]}


def sent_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {**CHAT, "tools": [tool]}


@pytest.mark.parametrize(
    ("table", "sent", "path"), [("part", sent_part, "messages.0.content.0"), ("tool", sent_tool, "tools.0.type")]
)
def test_each_type_is_treated_as_the_page_says(
    table: str, sent: Callable[[Mapping[str, Any]], dict[str, Any]], path: str
) -> None:
    fields = {"text": "Hi", "refusal": "No", "function": {"name": "get"}, "file": {"file_data": "data:text/plain,Hi"}}
    for name, outcome in outcomes(table).items():
        body = sent({"type": name, **fields})
        if outcome == "used":
            decode_chat(json.dumps(body).encode())
        else:
            with pytest.raises(ValidationError) as caught:
                decode_chat(json.dumps(body).encode())
            assert caught.value.field == path
