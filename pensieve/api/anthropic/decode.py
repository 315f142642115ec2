"""Decodes the bytes of a request into one frozen value, or into an error that names the field."""

from __future__ import annotations

from dataclasses import dataclass, replace

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Prompt, Sampling
from pensieve.api.anthropic.content.conversation import ConversationDecoder, system_turn
from pensieve.api.anthropic.thinking import thinking_of
from pensieve.api.anthropic.tools.decode import tool_choice_of, tools_of, visible_tools
from pensieve.api.anthropic.wire.bodies import CountTokensBody, MessagesBody
from pensieve.api.http.json_schemas import require_schema
from pensieve.api.http.parse_body import parse_body
from pensieve.core.errors import ConversationThreadError, ValidationError
from pensieve.core.prompts.canonical import cache_ttl_seconds, longest_ttl


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A Messages request: what to generate, with which model, and whether to stream it."""

    generation: GenerationRequest
    model_name: str
    stream: bool


def decode_messages(body: bytes) -> DecodedRequest:
    """Decode the body of `POST /v1/messages`.

    Raises:
        ValidationError: invalid JSON, or a missing or wrong field; the message starts with the path of the field.
    """
    wire = parse_body(MessagesBody, body)
    prompt = _prompt(wire)
    budget = prompt.thinking.budget_tokens
    if budget is not None and budget >= wire.max_tokens:
        raise ValidationError("thinking.budget_tokens", "must be less than max_tokens, which includes thinking")
    output = wire.output_config.format if wire.output_config is not None else None
    generation = GenerationRequest(
        messages=prompt.messages,
        max_tokens=wire.max_tokens,
        sampling=Sampling(wire.temperature, wire.top_p, wire.top_k),
        stop_sequences=tuple(dict.fromkeys(wire.stop_sequences or ())),
        tools=prompt.tools,
        tool_choice=tool_choice_of(wire.tool_choice, prompt.tools),
        thinking=prompt.thinking,
        output_schema=require_schema(output.json_schema, "output_config.format.schema") if output is not None else None,
    )
    return DecodedRequest(generation, wire.model, bool(wire.stream))


def decode_count(body: bytes) -> tuple[Prompt, str]:
    """Decode the body of `POST /v1/messages/count_tokens` into the prompt and the model's name.

    Raises:
        ValidationError: as `decode_messages`.
    """
    wire = parse_body(CountTokensBody, body)
    prompt = _prompt(wire)
    tool_choice_of(wire.tool_choice, prompt.tools)
    return prompt, wire.model


def _prompt(wire: CountTokensBody) -> Prompt:
    """The system prompt, the messages, and the tools, without deferred tools that no message references.

    A `cache_control` on a tool counts for the system turn, because the tools are part of it in a rendered prompt.
    """
    if wire.thread is not None:
        raise ConversationThreadError  # its messages are only the end of a conversation
    tools = tools_of(wire.tools or ())
    conversation = ConversationDecoder(tools)
    turns = conversation.turns(wire.messages)
    system = system_turn(wire.system)
    turns[-1:] = [_with_cache_control(turn, wire.cache_control) for turn in turns[-1:]]
    if system is not None:
        tool_controls = (getattr(tool, "cache_control", None) for tool in wire.tools or ())
        turns.insert(0, _with_cache_control(system, *tool_controls))
    visible = visible_tools(tools, conversation.referenced, wire.tool_choice)
    return Prompt(tuple(turns), visible, thinking_of(wire))


def _with_cache_control(turn: ChatMessage, *cache_controls: object) -> ChatMessage:
    ttls = map(cache_ttl_seconds, cache_controls)
    return replace(turn, cache_ttl_seconds=longest_ttl(turn.cache_ttl_seconds, *ttls))
