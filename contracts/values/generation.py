"""The events of one generation and its token counts (S5, S6, W17)."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.values.vocabulary import StopReason


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the model's own tokenizer counts them: the whole rendered prompt, and every sampled token.

    `cached_tokens` of the prompt were read from the prompt cache. `stored_5m_tokens` and `stored_1h_tokens` were
    computed now and are kept for the client's breakpoints, by time to live (W17). `thinking_tokens` of the output are
    reasoning, with the marks around it.
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    stored_5m_tokens: int = 0
    stored_1h_tokens: int = 0
    thinking_tokens: int = 0


@dataclass(slots=True)
class PromptTokens:
    """Tokens of all prompts since the start, by the source of their KV. `read` includes those `from_disk`.

    `differed_in` counts prompts that were largely recomputed, by the part of the prompt that differed first.
    """

    read: int = 0
    from_disk: int = 0
    computed: int = 0
    differed_in: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenerationStarted:
    """The request is accepted: from here on, a failure is no longer a refusal.

    `cached_tokens` of the prompt are in the prompt cache now; there may be more when prefill begins. If much has to be
    computed, `differs_in` names the first part of the prompt that differs: "tools", "system" or "messages.3".
    """

    input_tokens: int
    cached_tokens: int = 0
    differs_in: str = ""


@dataclass(frozen=True, slots=True)
class TextGenerated:
    """More text. `output_tokens` counts all tokens sampled so far, even if their text is still held back."""

    text: str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ThinkingGenerated:
    """More of the model's reasoning before its answer."""

    text: str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """The model calls a tool; the text of its arguments follows."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolArgumentsGenerated:
    """More of the arguments' JSON. A call's pieces join to a JSON object, unless the answer was cut off."""

    json: str


@dataclass(frozen=True, slots=True)
class ToolCallEnded:
    """The open call has all its arguments."""


@dataclass(frozen=True, slots=True)
class GenerationFinished:
    """`first_token_at` is when the first token was sampled, as a time of `time.monotonic`."""

    stop_reason: StopReason
    usage: Usage
    stop_sequence: str | None = None
    first_token_at: float | None = field(default=None, compare=False)


GenerationEvent = (
    GenerationStarted
    | ThinkingGenerated
    | TextGenerated
    | ToolCallStarted
    | ToolArgumentsGenerated
    | ToolCallEnded
    | GenerationFinished
)
