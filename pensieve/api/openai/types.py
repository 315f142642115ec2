"""Request bodies of OpenAI's API (W6), as its reference defines them.

Unknown fields are ignored, and so are those without a visible effect: `user`, `store`, `prediction`, and `seed`, which
is "best effort" in the reference. A field that requests an unsupported feature is refused rather than silently ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from pensieve.api.http.wire_model import Name, Probability, StopSequence, Temperature, WireModel

MAX_STOPS = 4
"""OpenAI's own limit on the number of stop sequences."""


def _only(harmless: tuple[object, ...], *, instead: str) -> AfterValidator:
    """Accepts null and values without an effect. For any other, the error says what to do instead."""

    def check(value: Any) -> Any:
        if value is not None and value not in harmless:
            raise PydanticCustomError("unsupported", instead)
        return value

    return AfterValidator(check)


_ONE_ANSWER = "only one answer per request is supported: send several requests, which run at the same time"
_NO_LOGPROBS = "logprobs are not supported"
_NO_PENALTY = "not supported: omit it, or send repetition_penalty"
_NO_FUNCTIONS = "deprecated and not supported: send tools and tool_choice"


class TextPart(WireModel):
    type: Literal["text"]
    text: str


class OtherPart(WireModel):
    type: str


def _kind_of_part(part: Any) -> str:
    kind = part.get("type") if isinstance(part, dict) else getattr(part, "type", None)
    return "text" if kind == "text" else "other"


Part = Annotated[Annotated[TextPart, Tag("text")] | Annotated[OtherPart, Tag("other")], Discriminator(_kind_of_part)]


def _kind_of_value(value: Any) -> str:
    return "blocks" if isinstance(value, list | tuple) else "string"


PartsOrText = Annotated[
    Annotated[str | None, Tag("string")] | Annotated[list[Part], Tag("blocks")], Discriminator(_kind_of_value)
]
Stops = Annotated[
    Annotated[StopSequence, Tag("string")] | Annotated[list[StopSequence], Field(max_length=MAX_STOPS), Tag("blocks")],
    Discriminator(_kind_of_value),
]


class CalledFunction(WireModel):
    name: Name
    arguments: str


class ChatToolCall(WireModel):
    id: Name
    function: CalledFunction


class ChatTurn(WireModel):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: PartsOrText = None
    tool_calls: list[ChatToolCall] | None = None
    tool_call_id: Name | None = None
    reasoning_content: str | None = None


class FunctionTool(WireModel):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str | None = None
    parameters: dict[str, Any] | None = None


class ChatTool(WireModel):
    type: Literal["function"]
    function: FunctionTool


class NamedFunction(WireModel):
    name: Name


class NamedChoice(WireModel):
    type: Literal["function"]
    function: NamedFunction


def _kind_of_choice(choice: Any) -> str:
    return "string" if isinstance(choice, str) else "other"


ChatToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("string")] | Annotated[NamedChoice, Tag("other")],
    Discriminator(_kind_of_choice),
]


class JsonSchema(WireModel):
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


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
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_p: Probability | None = None
    repetition_penalty: Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)] | None = None
    stop: Stops | None = None
    n: Annotated[Any, _only((1,), instead=_ONE_ANSWER)] = None
    presence_penalty: Annotated[Any, _only((0,), instead=_NO_PENALTY)] = None
    frequency_penalty: Annotated[Any, _only((0,), instead=_NO_PENALTY)] = None
    logit_bias: Annotated[Any, _only(({},), instead="not supported")] = None


class ChatBody(CommonBody):
    """`POST /v1/chat/completions`."""

    messages: Annotated[list[ChatTurn], Field(min_length=1)]
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    tools: list[ChatTool] | None = None
    tool_choice: ChatToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    chat_template_kwargs: ChatTemplateKwargs | None = None
    logprobs: Annotated[Any, _only((False,), instead=_NO_LOGPROBS)] = None
    top_logprobs: Annotated[Any, _only((0,), instead=_NO_LOGPROBS)] = None
    modalities: Annotated[Any, _only((["text"],), instead="only text answers are supported")] = None
    web_search_options: Annotated[Any, _only((), instead="web search is not supported: send a tool of your own")] = None
    functions: Annotated[Any, _only(([],), instead=_NO_FUNCTIONS)] = None
    function_call: Annotated[Any, _only(("auto", "none"), instead=_NO_FUNCTIONS)] = None


class CompletionBody(CommonBody):
    """`POST /v1/completions`."""

    prompt: Annotated[
        Annotated[StopSequence, Tag("string")] | Annotated[list[StopSequence], Tag("blocks")],
        Discriminator(_kind_of_value),
    ]
    best_of: Annotated[Any, _only((1,), instead=_ONE_ANSWER)] = None
    echo: Annotated[Any, _only((False,), instead="not supported: prepend the prompt to the answer")] = None
    suffix: Annotated[Any, _only(("",), instead="filling in the middle is not supported, only continuing a text")] = (
        None
    )
    logprobs: Annotated[Any, _only((), instead=_NO_LOGPROBS)] = None
