"""Request bodies, as Anthropic's API reference defines them (W12 to W16). Unknown fields are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pensieve.api.anthropic.wire.blocks import Content
from pensieve.api.anthropic.wire.context import ContextManagement
from pensieve.api.anthropic.wire.tools import AnyTool, WireToolChoice
from pensieve.api.http.wire_model import Name, Probability, StopSequence, Temperature, WireModel

MAX_STOP_SEQUENCES = 64
"""A limit of this server, because every token is compared with all of them."""

MIN_THINKING_TOKENS = 1024
"""The API's own minimum of thinking.budget_tokens."""


Effort = Literal["low", "medium", "high", "xhigh", "max"]


class MessageOutputConfig(WireModel):
    effort: Effort | None = None


class WireMessage(WireModel):
    """`clear_at` and `output_config` are for system messages."""

    role: Literal["user", "assistant", "system"]
    content: Content | None = None
    clear_at: Literal["next_user_message", "never"] | None = None
    output_config: MessageOutputConfig | None = None


class WireThinking(WireModel):
    """`between_tools` turns thinking off, except that text between two tool calls appears as thinking. Local models
    have no such mode, so it means `disabled` here.
    """

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Field(ge=MIN_THINKING_TOKENS)] | None = None
    display: str | None = None


class OutputFormat(WireModel):
    type: Literal["json_schema"]
    json_schema: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(WireModel):
    format: OutputFormat | None = None
    effort: Effort | None = None


class Metadata(WireModel):
    user_id: str | None = None


class CountTokensBody(WireModel):
    """`POST /v1/messages/count_tokens` (W2), and what a Messages request shares with it."""

    model: Name
    messages: Annotated[list[WireMessage], Field(min_length=1)]
    system: Content | None = None
    tools: list[AnyTool] | None = None
    tool_choice: WireToolChoice | None = None
    thinking: WireThinking | None = None
    output_config: OutputConfig | None = None
    context_management: ContextManagement | None = None
    thread: Any = None
    cache_control: Any = None
    """On the request itself, it applies to the last message."""


class MessagesBody(CountTokensBody):
    """`POST /v1/messages` (W1)."""

    max_tokens: Annotated[int, Field(ge=1)]
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=0)] | None = None
    stop_sequences: Annotated[list[StopSequence], Field(max_length=MAX_STOP_SEQUENCES)] | None = None
    metadata: Metadata | None = None
    service_tier: Literal["auto", "standard_only"] | None = None
