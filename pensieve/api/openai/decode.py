"""Decodes requests of OpenAI's API into one frozen value (W6)."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.values.vocabulary import (
    ChatMessage,
    GenerationRequest,
    Role,
    Sampling,
    Thinking,
    Tool,
    ToolChoice,
    ToolMode,
)
from pensieve.api.http.parse_body import parse_body
from pensieve.api.http.schemas.json_schemas import ToolTotals, require_schema
from pensieve.api.openai.conversation import turns_of
from pensieve.api.openai.types import AllowedChoice, ChatBody, CommonBody, CompletionBody, NamedChoice
from pensieve.core.errors import ValidationError

_MODES = {"none": ToolMode.NONE, "auto": ToolMode.AUTO, "required": ToolMode.ANY}
_NO_REASONING = (None, "none", "minimal")
"""Efforts that mean no thinking. As in the Messages API, no effort at all means the same."""
_ANY_OBJECT = '{"type": "object"}'

UNLIMITED_TOKENS = sys.maxsize
"""`max_tokens` of a request that sets no limit: the answer may use what the window leaves."""


@dataclass(frozen=True, slots=True)
class OpenAIRequest:
    """A chat or completion request: what to generate, with which model, and how to send it."""

    generation: GenerationRequest
    model_name: str
    stream: bool
    include_usage: bool


def decode_chat(body: bytes) -> OpenAIRequest:
    """Decode `POST /v1/chat/completions`.

    Raises:
        ValidationError: invalid JSON, or a field is missing, wrong or not supported; the message names it.
    """
    wire = parse_body(ChatBody, body)
    tools = _tools(wire)
    generation = replace(
        _generation(wire, turns_of(wire.messages)),
        max_tokens=wire.max_completion_tokens or wire.max_tokens or UNLIMITED_TOKENS,
        tools=tools,
        tool_choice=_choice(wire, tools),
        thinking=_thinking(wire),
        output_schema=_schema(wire),
        strict_output=_is_strict(wire),
    )
    return _request(wire, generation)


def decode_completion(body: bytes) -> OpenAIRequest:
    """Decode `POST /v1/completions`. Its prompt is continued as it is, without a chat template.

    Raises:
        ValidationError: as `decode_chat`.
    """
    wire = parse_body(CompletionBody, body)
    prompts = [wire.prompt] if isinstance(wire.prompt, str) else wire.prompt
    if len(prompts) != 1:
        raise ValidationError(
            "prompt", "only one prompt per request is supported: send several requests, which run at the same time"
        )
    return _request(wire, replace(_generation(wire, (ChatMessage(Role.USER, prompts[0]),)), is_raw=True))


def _request(wire: CommonBody, generation: GenerationRequest) -> OpenAIRequest:
    options = wire.stream_options
    return OpenAIRequest(generation, wire.model, bool(wire.stream), bool(options is not None and options.include_usage))


def _generation(wire: CommonBody, messages: tuple[ChatMessage, ...]) -> GenerationRequest:
    stops = [wire.stop] if isinstance(wire.stop, str) else wire.stop or []
    return GenerationRequest(
        messages,
        wire.max_tokens or UNLIMITED_TOKENS,
        _sampling(wire),
        tuple(dict.fromkeys(stops)),
    )


def _sampling(wire: CommonBody) -> Sampling:
    top_k = max(0, wire.top_k) if wire.top_k is not None else None
    return Sampling(
        wire.temperature,
        wire.top_p,
        top_k,
        wire.min_p,
        wire.repetition_penalty,
        wire.presence_penalty,
        wire.frequency_penalty,
    )


def _thinking(wire: ChatBody) -> Thinking:
    """`enable_thinking` overrides the effort. Effort "none" becomes "minimal" for models that always think."""
    kwargs, effort = wire.chat_template_kwargs, wire.reasoning_effort
    enabled = kwargs.enable_thinking if kwargs is not None else None
    return Thinking(
        enabled=effort not in _NO_REASONING if enabled is None else enabled,
        effort="minimal" if effort == "none" else effort,
    )


def _tools(wire: ChatBody) -> tuple[Tool, ...]:
    ToolTotals().add([tool.function.parameters for tool in wire.tools or ()], "tools")
    tools: dict[str, Tool] = {}
    for number, tool in enumerate(wire.tools or ()):
        function = tool.function
        if function.name in tools:
            raise ValidationError(
                f"tools.{number}.function.name", f"function names must be unique, but {function.name} is used twice"
            )
        schema = {"type": "object", **(function.parameters or {"properties": {}})}
        if schema["type"] != "object":
            raise ValidationError(f"tools.{number}.function.parameters.type", "must be 'object', or omitted")
        schema_text = require_schema(schema, f"tools.{number}.function.parameters")
        tools[function.name] = Tool(
            function.name,
            function.description or "",
            schema_text,
            strict=bool(function.strict),
            place=f"tools.{number}",
        )
    return _allowed(wire, tools)


def _allowed(wire: ChatBody, tools: Mapping[str, Tool]) -> tuple[Tool, ...]:
    """The tools that tool_choice allows: the model sees no others."""
    if not isinstance(wire.tool_choice, AllowedChoice):
        return tuple(tools.values())
    names = [tool.function.name for tool in wire.tool_choice.allowed_tools.tools]
    for number, name in enumerate(names):
        if name not in tools:
            path = f"tool_choice.allowed_tools.tools.{number}.function.name"
            raise ValidationError(path, f"{name!r} is not the name of a tool")
    return tuple(tool for tool in tools.values() if tool.name in names)


def _choice(wire: ChatBody, tools: Sequence[Tool]) -> ToolChoice:
    parallel = wire.parallel_tool_calls is not False
    if isinstance(wire.tool_choice, NamedChoice):
        name = wire.tool_choice.function.name
        if not any(tool.name == name for tool in tools):
            raise ValidationError("tool_choice.function.name", f"{name!r} is not the name of a tool")
        return ToolChoice(ToolMode.TOOL, name, parallel)
    choice = wire.tool_choice
    mode = _MODES[choice.allowed_tools.mode if isinstance(choice, AllowedChoice) else choice or "auto"]
    if mode is ToolMode.ANY and not tools:
        raise ValidationError("tool_choice", "'required' requires tools")
    return ToolChoice(mode, None, parallel)


def _is_strict(wire: ChatBody) -> bool:
    wanted = wire.response_format.json_schema if wire.response_format is not None else None
    return wanted is not None and bool(wanted.strict)


def _schema(wire: ChatBody) -> str | None:
    response_format = wire.response_format
    if response_format is None or response_format.type == "text":
        return None
    if response_format.type == "json_object":
        return _ANY_OBJECT
    if response_format.json_schema is None:
        raise ValidationError("response_format.json_schema", "Field required")
    return require_schema(response_format.json_schema.json_schema, "response_format.json_schema.schema")
