"""Decodes the bytes of a request into one frozen value, or into an error that names the field."""

from __future__ import annotations

from dataclasses import dataclass, replace

from contracts.values.vocabulary import ChatMessage, GenerationRequest, Prompt, Role, Sampling
from pensieve.api.anthropic.content.conversation import ConversationDecoder
from pensieve.api.anthropic.context_editing import edits_of
from pensieve.api.anthropic.diagnostics import fingerprint_of
from pensieve.api.anthropic.thinking import thinking_of
from pensieve.api.anthropic.tools.decode import require_one_shown, tool_choice_of, tools_of
from pensieve.api.anthropic.wire.bodies import CountTokensBody, MessagesBody, OutputFormat
from pensieve.api.anthropic.wire.context import DiagnosticsRequest
from pensieve.api.http.parse_body import parse_body
from pensieve.api.http.schemas.json_schemas import require_schema
from pensieve.core.errors import ConversationThreadError, ValidationError
from pensieve.core.prompts.canonical import cache_ttl_seconds, longest_ttl
from pensieve.core.prompts.context_edits import ContextEdit
from pensieve.core.prompts.request_fingerprint import RequestFingerprint


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A Messages request: what to generate, with which model, and whether to stream it.

    `edits` are those of `context_management`, or None if the request has none.
    """

    generation: GenerationRequest
    model_name: str
    stream: bool
    edits: tuple[ContextEdit, ...] | None = None
    diagnostics: DiagnosticsRequest | None = None
    fingerprint: RequestFingerprint | None = None
    """Set with `diagnostics`."""


@dataclass(frozen=True, slots=True)
class DecodedCount:
    """A request to count the tokens of a prompt, after its `edits`."""

    prompt: Prompt
    model_name: str
    edits: tuple[ContextEdit, ...] | None = None


def decode_messages(body: bytes) -> DecodedRequest:
    """Decode the body of `POST /v1/messages`.

    Raises:
        ValidationError: invalid JSON, or a missing or wrong field; the message starts with the path of the field.
    """
    wire = parse_body(MessagesBody, body)
    prompt = _prompt(wire)
    require_one_shown(wire.tools or (), prompt.tools)
    budget = prompt.thinking.budget_tokens
    if budget is not None and budget >= wire.max_tokens:
        raise ValidationError("thinking.budget_tokens", "must be less than max_tokens, which includes thinking")
    output = _output_format(wire, prompt.messages[-1])
    if not wire.max_tokens:
        _require_no_answer(wire, output)
    generation = GenerationRequest(
        messages=prompt.messages,
        max_tokens=wire.max_tokens,
        sampling=Sampling(wire.temperature, wire.top_p, wire.top_k),
        stop_sequences=tuple(dict.fromkeys(wire.stop_sequences or ())),
        tools=prompt.tools,
        tool_choice=tool_choice_of(wire.tool_choice, prompt.tools),
        thinking=prompt.thinking,
        output_schema=_schema_of(output),
    )
    edits = edits_of(wire.context_management)
    fingerprint = fingerprint_of(generation, wire.model, edits) if wire.diagnostics is not None else None
    return DecodedRequest(generation, wire.model, bool(wire.stream), edits, wire.diagnostics, fingerprint)


def decode_count(body: bytes) -> DecodedCount:
    """Decode the body of `POST /v1/messages/count_tokens`.

    Raises:
        ValidationError: as `decode_messages`.
    """
    wire = parse_body(CountTokensBody, body)
    prompt = _prompt(wire)
    tool_choice_of(wire.tool_choice, prompt.tools)
    _schema_of(_output_format(wire, prompt.messages[-1]))
    return DecodedCount(prompt, wire.model, edits_of(wire.context_management))


def _output_format(wire: CountTokensBody, last_turn: ChatMessage) -> OutputFormat | None:
    """The format of the answer, under either of its names.

    Source: Anthropic's documentation, "Structured outputs": it is incompatible with prefilling.
    """
    newer = wire.output_config.format if wire.output_config is not None else None
    if newer is not None and wire.output_format is not None and newer != wire.output_format:
        raise ValidationError("output_format", "differs from output_config.format, whose older name it is: send one")
    output = newer or wire.output_format
    if output is not None and last_turn.role is Role.ASSISTANT and last_turn.text:
        raise ValidationError(
            "output_config.format", "the answer would continue the final assistant message: remove one of them"
        )
    return output


def _schema_of(output: OutputFormat | None) -> str | None:
    return require_schema(output.json_schema, "output_config.format.schema") if output is not None else None


def _require_no_answer(wire: MessagesBody, output: OutputFormat | None) -> None:
    """Source: Anthropic's documentation, "Prompt caching", pre-warming the cache."""
    choice = wire.tool_choice.type if wire.tool_choice is not None else None
    wants_answer = {
        "stream": bool(wire.stream),
        "output_config.format": output is not None,
        "tool_choice": choice in ("any", "tool"),
    }
    for field, is_set in wants_answer.items():
        if is_set:
            raise ValidationError(field, "cannot be combined with a max_tokens of 0, which generates nothing")


def _prompt(wire: CountTokensBody) -> Prompt:
    """The system prompt, the messages, and the tools, without deferred tools that no message references.

    A `cache_control` on a tool counts for the system turn, because the tools are part of it in a rendered prompt.
    """
    if wire.thread is not None:
        raise ConversationThreadError  # its messages are only the end of a conversation
    conversation = ConversationDecoder(tools_of(wire.tools or ()))
    system = conversation.system_turn(wire.system)
    turns = conversation.turns(wire.messages)
    turns[-1:] = [_with_cache_control(turn, wire.cache_control) for turn in turns[-1:]]
    if system is not None:
        tool_controls = (getattr(tool, "cache_control", None) for tool in wire.tools or ())
        turns.insert(0, _with_cache_control(system, *tool_controls))
    return Prompt(tuple(turns), conversation.offered.visible(wire.tool_choice), thinking_of(wire))


def _with_cache_control(turn: ChatMessage, *cache_controls: object) -> ChatMessage:
    ttls = map(cache_ttl_seconds, cache_controls)
    return replace(turn, cache_ttl_seconds=longest_ttl(turn.cache_ttl_seconds, *ttls))
