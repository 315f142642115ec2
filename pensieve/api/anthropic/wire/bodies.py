"""Request bodies, as Anthropic's API reference defines them (W12 to W16).

docs/messages-api.md lists what happens to each field. Unknown fields are ignored; a field that requests something this
server cannot do is refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pensieve.api.anthropic.wire.blocks import Content
from pensieve.api.anthropic.wire.context import Compaction, ContextManagement, DiagnosticsRequest
from pensieve.api.anthropic.wire.tools import AnyTool, WireToolChoice
from pensieve.api.http.wire_model import (
    MAX_TOKENS_BOUND,
    Messages,
    Name,
    Probability,
    StopSequence,
    Temperature,
    ToolList,
    WireModel,
    only,
)

MAX_STOP_SEQUENCES = 64
"""A limit of this server, because every token is compared with all of them."""

MIN_THINKING_TOKENS = 1024
"""The API's own minimum of thinking.budget_tokens."""

Region = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]

_NO_BUDGET = "not supported: omit it; max_tokens and thinking.budget_tokens limit an answer"
_NO_SPEED = "Fast mode is not enabled: a local model has one speed. Omit the `speed` parameter"
"""Claude Code turns fast mode off after a refusal in the words before the colon, and goes on."""
_NO_SERVERS = "this server calls no MCP servers: connect to them from the client, and send their tools in tools"
_NO_BILLING = "this server sends no bills: omit it"
_NO_COMPACTION = "not supported: ask for a summary in a message, and begin the next conversation with it"
_NO_CONTAINERS = "this server runs no code and no skills: omit it, and offer tools that the client runs"
_NO_FALLBACKS = 'this server tries no other model: omit it or send "default"'
_NO_CREDIT = "this server issues no such tokens: omit it"
_NO_SAFEGUARDS = "not supported: this server checks no actions. Send the request without safeguards"


Effort = Literal["low", "medium", "high", "xhigh", "max"]


class MessageOutputConfig(WireModel):
    effort: Effort | None = None


class WireMessage(WireModel):
    """`clear_at` and `output_config` are for system messages."""

    role: Literal["user", "assistant", "system"]
    content: Content | None = None
    clear_at: Literal["next_user_message", "never"] | None = None
    output_config: MessageOutputConfig | None = None


class BlockBinding(WireModel):
    prefix_mismatch_behavior: Literal["error", "drop_block"] | None = None


class WireThinking(WireModel):
    """`between_tools` turns thinking off, except that text between two tool calls appears as thinking. Local models
    have no such mode, so it means `disabled` here.
    """

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=MIN_THINKING_TOKENS)] | None = None
    display: Literal["summarized", "omitted", "updates"] | None = None
    block_binding: BlockBinding | None = None


class OutputFormat(WireModel):
    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(WireModel):
    format: OutputFormat | None = None
    effort: Effort | None = None
    task_budget: Annotated[Any, only((), instead=_NO_BUDGET)] = None


class Metadata(WireModel):
    user_id: str | None = None


class BillingPolicy(WireModel):
    type: Literal["billing_policy"]
    bill_to: Annotated[Literal["self", "user_profile"] | None, only(("self",), instead=_NO_BILLING)] = None


class CountTokensBody(WireModel):
    """`POST /v1/messages/count_tokens` (W2), and what a Messages request shares with it."""

    model: Name
    messages: Messages[WireMessage]
    system: Content | None = None
    tools: ToolList[AnyTool] | None = None
    tool_choice: WireToolChoice | None = None
    thinking: WireThinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None
    """The older name of output_config.format."""
    context_management: ContextManagement | None = None
    compaction: Compaction | None = None
    """The reference says that a count ignores it."""
    mcp_servers: Annotated[Any, only(([],), instead=_NO_SERVERS)] = None
    speed: Annotated[Literal["standard", "fast"] | None, only(("standard",), instead=_NO_SPEED)] = None
    billing_policy: BillingPolicy | None = None
    thread: Any = None
    cache_control: Any = None
    """On the request itself, it applies to the last message."""


class MessagesBody(CountTokensBody):
    """`POST /v1/messages` (W1)."""

    max_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS_BOUND)]
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    stop_sequences: Annotated[list[StopSequence], Field(max_length=MAX_STOP_SEQUENCES, fail_fast=True)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
    inference_geo: Region | None = None
    diagnostics: DiagnosticsRequest | None = None
    compaction: Annotated[Compaction | None, only((), instead=_NO_COMPACTION)] = None
    container: Annotated[Any, only((), instead=_NO_CONTAINERS)] = None
    fallbacks: Annotated[Any, only(("default", []), instead=_NO_FALLBACKS)] = None
    fallback_credit_token: Annotated[Any, only((), instead=_NO_CREDIT)] = None
    safeguards: Annotated[Any, only((), instead=_NO_SAFEGUARDS)] = None
