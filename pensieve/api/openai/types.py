"""Request bodies of OpenAI's API (W6), as its reference defines them.

What happens to each field, and to those that are ignored, is listed in docs/openai.md. A field that requests something
unsupported is refused; a field that no client could see the effect of is ignored, and so are unknown ones.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from pensieve.api.http.wire_model import (
    MAX_NAMES,
    MAX_TOKENS_BOUND,
    Blocks,
    Messages,
    Name,
    Penalty,
    Probability,
    StopSequence,
    Temperature,
    ToolList,
    WireModel,
    known,
    only,
)
from pensieve.api.openai.messages import NO_CUSTOM_TOOLS, NO_FUNCTIONS, ChatTurn, kind_of_value

MAX_STOPS = 4
"""OpenAI's own limit on the number of stop sequences."""
_ONE_ANSWER = "only one answer per request is supported: send several requests, which run at the same time"
_NO_LOGPROBS = "log probabilities are not supported: omit it"
_NO_BIAS = "not supported, since token ids differ between models: omit it"
_NO_SEARCH = "web search is not supported: send a function of your own"
_OTHER_TOOLS = {"custom": NO_CUSTOM_TOOLS, "web_search": _NO_SEARCH, "web_search_preview": _NO_SEARCH}

Stops = Annotated[
    Annotated[StopSequence, Tag("string")]
    | Annotated[list[StopSequence], Field(max_length=MAX_STOPS, fail_fast=True), Tag("blocks")],
    Discriminator(kind_of_value),
]


class FunctionTool(WireModel):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ChatTool(WireModel):
    type: Annotated[str, known(("function",), _OTHER_TOOLS)]
    function: FunctionTool


class NamedFunction(WireModel):
    name: Name


class NamedChoice(WireModel):
    type: Annotated[str, known(("function", "allowed_tools"), {"custom": NO_CUSTOM_TOOLS})]
    function: NamedFunction


class AllowedTools(WireModel):
    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedChoice], Field(min_length=1, max_length=MAX_NAMES, fail_fast=True)]


class AllowedChoice(WireModel):
    type: Literal["allowed_tools"]
    allowed_tools: AllowedTools


def _kind_of_choice(choice: Any) -> str:
    if isinstance(choice, str):
        return "string"
    is_allowed = isinstance(choice, dict) and choice.get("type") == "allowed_tools"
    return "blocks" if is_allowed else "other"


ChatToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("string")]
    | Annotated[AllowedChoice, Tag("blocks")]
    | Annotated[NamedChoice, Tag("other")],
    Discriminator(_kind_of_choice),
]


class JsonSchema(WireModel):
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(WireModel):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StreamOptions(WireModel):
    include_usage: bool | None = None


class ChatTemplateKwargs(WireModel):
    """Template options of vLLM and llama.cpp. Only `enable_thinking` has an effect."""

    enable_thinking: bool | None = None


class CommonBody(WireModel):
    """The fields that both endpoints share. `top_k`, `min_p` and `repetition_penalty` are those of vLLM, where a
    `top_k` of -1 means no limit.
    """

    model: Name
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS_BOUND)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Probability | None = None
    repetition_penalty: Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)] | None = None
    stop: Stops | None = None
    n: Annotated[Any, only((1,), instead=_ONE_ANSWER)] = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: Annotated[Any, only(({},), instead=_NO_BIAS)] = None


class ChatBody(CommonBody):
    """`POST /v1/chat/completions`."""

    messages: Messages[ChatTurn]
    max_completion_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS_BOUND)] | None = None
    tools: ToolList[ChatTool] | None = None
    tool_choice: ChatToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    chat_template_kwargs: ChatTemplateKwargs | None = None
    logprobs: Annotated[Any, only((False,), instead=_NO_LOGPROBS)] = None
    top_logprobs: Annotated[Any, only((0,), instead=_NO_LOGPROBS)] = None
    modalities: Annotated[Any, only((["text"],), instead="only text answers are supported")] = None
    audio: Annotated[Any, only((), instead="only text answers are supported")] = None
    moderation: Annotated[Any, only((), instead="moderation is not supported: omit it")] = None
    web_search_options: Annotated[Any, only((), instead=_NO_SEARCH)] = None
    functions: Annotated[Any, only(([],), instead=NO_FUNCTIONS)] = None
    function_call: Annotated[Any, only(("auto", "none"), instead=NO_FUNCTIONS)] = None


def _refuse_token_ids(value: Any) -> Any:
    if isinstance(value, int | list):
        raise PydanticCustomError("unsupported", "token ids are not supported: send text")
    return value


_PromptText = Annotated[str, Field(min_length=1), BeforeValidator(_refuse_token_ids)]


class CompletionBody(CommonBody):
    """`POST /v1/completions`."""

    prompt: Annotated[
        Annotated[_PromptText, Tag("string")] | Annotated[Blocks[_PromptText], Tag("blocks")],
        Discriminator(kind_of_value),
    ]
    best_of: Annotated[Any, only((1,), instead=_ONE_ANSWER)] = None
    echo: Annotated[Any, only((False,), instead="not supported: prepend the prompt to the answer")] = None
    suffix: Annotated[Any, only(("",), instead="filling in the middle is not supported, only continuing a text")] = None
    logprobs: Annotated[Any, only((), instead=_NO_LOGPROBS)] = None
