"""The events of one generation, and what is counted of it (S5, S6, W17): frozen, and of the standard library."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.values.vocabulary import StopReason


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as counted by the model's own tokenizer: the whole rendered prompt, and every token that was sampled.

    Of the prompt's, `cached_tokens` were read from the store of computed prompts. `stored_5m_tokens` and
    `stored_1h_tokens` were computed now and are kept for a breakpoint of the client's, by its time to live (W17).
    """

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    stored_5m_tokens: int = 0
    stored_1h_tokens: int = 0


@dataclass(slots=True)
class PromptTokens:
    """Tokens of all prompts since the start, by where their KV came from. `read` includes those `from_disk`.

    `differed_in` counts the prompts of which much had to be computed, by the part that this began in.
    """

    read: int = 0
    from_disk: int = 0
    computed: int = 0
    differed_in: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenerationStarted:
    """The request is accepted: from here on, a failure is no longer a refusal.

    `cached_tokens` of the prompt's are in the store now; by the time that it is read there may be more. Where much has
    to be computed, `differs_in` names the part of the prompt that begins with: "tools", "system" or "messages.3".
    """

    input_tokens: int
    cached_tokens: int = 0
    differs_in: str = ""


@dataclass(frozen=True, slots=True)
class TextGenerated:
    """More text. `output_tokens` counts the tokens sampled so far, those whose text is still held back included."""

    text: str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ThinkingGenerated:
    """More of what the model says to itself before it answers."""

    text: str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """The model calls a tool; the text of its arguments follows."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolArgumentsGenerated:
    """More of the arguments' JSON. All of one call's pieces joined are a JSON object, unless max_tokens cut it."""

    json: str


@dataclass(frozen=True, slots=True)
class ToolCallEnded:
    """The call that is open has all of its arguments."""


@dataclass(frozen=True, slots=True)
class GenerationFinished:
    stop_reason: StopReason
    usage: Usage
    stop_sequence: str | None = None


GenerationEvent = (
    GenerationStarted
    | ThinkingGenerated
    | TextGenerated
    | ToolCallStarted
    | ToolArgumentsGenerated
    | ToolCallEnded
    | GenerationFinished
)
