"""From a request of OpenAI's API to one frozen value (W6)."""

from __future__ import annotations

from collections.abc import Sequence
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
from pensieve.api.http.json_schemas import require_schema
from pensieve.api.http.parse_body import parse_body
from pensieve.api.openai.conversation import turns_of
from pensieve.api.openai.types import ChatBody, CommonBody, CompletionBody, NamedChoice
from pensieve.core.errors import ValidationError

_MODES = {"none": ToolMode.NONE, "auto": ToolMode.AUTO, "required": ToolMode.ANY}
_NO_REASONING = (None, "none", "minimal")
"""Efforts that ask for no thinking. Without an effort there is none either, as in the Messages API."""
_ANY_OBJECT = '{"type": "object"}'

MAX_TOKENS_UNSET = 0
"""The request gives no bound: the window does."""


@dataclass(frozen=True, slots=True)
class OpenAIRequest:
    """`generation.max_tokens` may be MAX_TOKENS_UNSET."""

    generation: GenerationRequest
    model_name: str
    stream: bool
    include_usage: bool

    def bounded(self, max_tokens: int) -> GenerationRequest:
        """The generation, with a bound of its own or this one."""
        return replace(self.generation, max_tokens=self.generation.max_tokens or max_tokens)


def decode_chat(body: bytes) -> OpenAIRequest:
    """Decode `POST /v1/chat/completions`.

    Raises:
        ValidationError: wrong JSON, or a field that is missing, wrong or cannot be done here; it is named.
    """
    wire = parse_body(ChatBody, body)
    tools = _tools(wire)
    generation = replace(
        _generation(wire, turns_of(wire.messages)),
        max_tokens=wire.max_completion_tokens or wire.max_tokens or MAX_TOKENS_UNSET,
        tools=tools,
        tool_choice=_choice(wire, tools),
        thinking=_thinking(wire),
        output_schema=_schema(wire),
    )
    return _request(wire, generation)


def decode_completion(body: bytes) -> OpenAIRequest:
    """Decode `POST /v1/completions`: the prompt is continued as it stands, without a chat template.

    Raises:
        ValidationError: as `decode_chat`.
    """
    wire = parse_body(CompletionBody, body)
    prompts = [wire.prompt] if isinstance(wire.prompt, str) else wire.prompt
    if len(prompts) != 1:
        raise ValidationError("prompt", "one prompt a request: send each on its own, they run side by side")
    return _request(wire, replace(_generation(wire, (ChatMessage(Role.USER, prompts[0]),)), is_raw=True))


def _request(wire: CommonBody, generation: GenerationRequest) -> OpenAIRequest:
    options = wire.stream_options
    return OpenAIRequest(generation, wire.model, bool(wire.stream), bool(options is not None and options.include_usage))


def _generation(wire: CommonBody, messages: tuple[ChatMessage, ...]) -> GenerationRequest:
    stops = [wire.stop] if isinstance(wire.stop, str) else wire.stop or []
    return GenerationRequest(
        messages,
        wire.max_tokens or MAX_TOKENS_UNSET,
        _sampling(wire),
        tuple(dict.fromkeys(stops)),
    )


def _sampling(wire: CommonBody) -> Sampling:
    top_k = max(0, wire.top_k) if wire.top_k is not None else None
    return Sampling(wire.temperature, wire.top_p, top_k, wire.min_p, wire.repetition_penalty)


def _thinking(wire: ChatBody) -> Thinking:
    """`enable_thinking` is the stronger. An effort of none is the least of them, for models that know efforts alone."""
    kwargs, effort = wire.chat_template_kwargs, wire.reasoning_effort
    enabled = kwargs.enable_thinking if kwargs is not None else None
    return Thinking(
        enabled=effort not in _NO_REASONING if enabled is None else enabled,
        effort="minimal" if effort == "none" else effort,
    )


def _tools(wire: ChatBody) -> tuple[Tool, ...]:
    tools: dict[str, Tool] = {}
    for number, tool in enumerate(wire.tools or ()):
        function = tool.function
        if function.name in tools:
            raise ValidationError(f"tools.{number}.function.name", f"{function.name} is there twice")
        schema = function.parameters or {"type": "object", "properties": {}}
        if schema.get("type") != "object":
            raise ValidationError(f"tools.{number}.function.parameters.type", "must be 'object'")
        written = require_schema(schema, f"tools.{number}.function.parameters")
        tools[function.name] = Tool(function.name, function.description or "", written)
    return tuple(tools.values())


def _choice(wire: ChatBody, tools: Sequence[Tool]) -> ToolChoice:
    parallel = wire.parallel_tool_calls is not False
    if isinstance(wire.tool_choice, NamedChoice):
        name = wire.tool_choice.function.name
        if not any(tool.name == name for tool in tools):
            raise ValidationError("tool_choice.function.name", f"{name!r} is not among the tools")
        return ToolChoice(ToolMode.TOOL, name, parallel)
    mode = _MODES[wire.tool_choice or "auto"]
    if mode is ToolMode.ANY and not tools:
        raise ValidationError("tool_choice", "'required' needs tools to choose from")
    return ToolChoice(mode, None, parallel)


def _schema(wire: ChatBody) -> str | None:
    wanted = wire.response_format
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return _ANY_OBJECT
    if wanted.json_schema is None:
        raise ValidationError("response_format.json_schema", "Field required")
    return require_schema(wanted.json_schema.json_schema, "response_format.json_schema.schema")
