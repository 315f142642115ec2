"""The values that cross a boundary: frozen, made of the standard library, with units in their names.

Sources: the design document's data types (MemoryUsage, ModelFeature; S3) and the terms of Anthropic's Messages API.
`generation` beside it has the events of a generation, `measurements` what is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class ErrorKind(Enum):
    """What went wrong, in the words of S2. Every error that crosses a boundary carries one as `kind`."""

    VALIDATION = "validation"
    AUTHENTICATION = "authentication"
    NOT_FOUND = "not_found"
    MODEL_LOADING = "model_loading"
    DEVICE = "device"
    INSUFFICIENT_MEMORY = "insufficient_memory"
    OVERLOADED = "overloaded"
    RATE_LIMITED = "rate_limited"
    GENERATION = "generation"


class Role(Enum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class StopReason(Enum):
    """Why a generation ended, in the API's own words."""

    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    TOOL_USE = "tool_use"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made. `arguments` is the text of a JSON object."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation, as the chat template will see it.

    An assistant's turn may carry the thinking before its text and the calls after it. A turn of Role.TOOL is the result
    of the call `tool_call_id`, a failure if `is_error`.
    """

    role: Role
    text: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False
    cache_ttl_seconds: int | None = None
    """Set where the client marked the end of this turn with `cache_control`: how long it wants the prompt so far kept.
    No part of the prompt."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What the model may call. `input_schema` is the text of a JSON schema for the arguments, an object's.

    A `deferred` tool is told where the conversation refers to it, and not at the head of the prompt.
    """

    name: str
    description: str
    input_schema: str
    deferred: bool = False


class ToolMode(Enum):
    AUTO = "auto"
    ANY = "any"
    TOOL = "tool"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name` goes with ToolMode.TOOL. Without `parallel`, an answer has one call at most."""

    mode: ToolMode = ToolMode.AUTO
    name: str | None = None
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether a model that can reason before it answers shall, and for how many tokens at most (None: no bound).

    Thinking that is `omitted` happens, and is signed for, but its text is not sent. `effort` is "minimal", "low",
    "medium", "high", "xhigh" or "max", None where the client does not say. `keeps_past` says whether the thinking of
    earlier turns stays in the prompt; None leaves that to the model's template.
    """

    enabled: bool = False
    budget_tokens: int | None = None
    omitted: bool = False
    effort: str | None = None
    keeps_past: bool | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """All of a request that the chat template turns into token ids: what counting counts."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[Tool, ...] = ()
    thinking: Thinking = Thinking()
    is_raw: bool = False
    """The messages' text is the prompt as it stands: no template is put around it."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn, as far as the client says. None leaves a field to the model's own default.

    `temperature` lies in 0.0 to 2.0; at 0.0 the likeliest token is taken. `top_p`, in 0.0 to 1.0, keeps the likeliest
    tokens whose probabilities add up to it; `top_k` keeps that many, and 0 keeps all; `min_p`, in 0.0 to 1.0, keeps
    tokens at least that probable relative to the likeliest. `repetition_penalty`, above 0.0 and up to 10.0, makes
    recent tokens less likely; 1.0 changes nothing (Keskar et al., 2019: "CTRL").
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What a model is asked for. `max_tokens` counts sampled tokens, the end-of-turn token included."""

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    sampling: Sampling = Sampling()
    stop_sequences: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    thinking: Thinking = Thinking()
    output_schema: str | None = None
    """The text of a JSON schema that the whole answer is held to while it is decoded."""
    is_raw: bool = False
    """As in Prompt."""
    is_retry: bool = field(default=False, compare=False)
    """The client asks again for what it got no answer to."""

    @property
    def prompt(self) -> Prompt:
        """What the model reads of it."""
        return Prompt(self.messages, self.tools, self.thinking, self.is_raw)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """`context_window_tokens` bounds prompt and output together; `created_at` is an RFC 3339 time."""

    id: str
    display_name: str
    context_window_tokens: int
    created_at: str


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """What to load. `source` is the embedded model's name, a folder, or a hub's `organisation/name`."""

    source: str


class ModelFeature(Enum):
    """What a model can do here (S3: ModelFeature).

    Function calling is the model's own: its template has words for tools. Tool calling is what a request gets, and
    takes no more than an engine that tells tools in a general form and holds calls to their schemas.
    """

    STREAMING = "streaming"
    SYSTEM_PROMPT = "system_prompt"
    TOOL_CALLING = "tool_calling"
    FUNCTION_CALLING = "function_calling"
    JSON_MODE = "json_mode"


class BufferUsage(Enum):
    """What reserved bytes are for (S7: BufferUsage)."""

    MODEL_WEIGHTS = "model_weights"
    KV_CACHE = "kv_cache"
    STORED_PROMPTS = "stored_prompts"
    """KV that no request uses now: it is given up before a request is refused."""
    ACTIVATION = "activation"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Bytes, read from the allocator where it can tell. `total_bytes` is all that is in use, of `capacity_bytes`."""

    model_weights_bytes: int
    kv_cache_bytes: int
    activation_bytes: int
    total_bytes: int
    peak_bytes: int
    capacity_bytes: int
    stored_prompts_bytes: int = 0
    """KV of prompts that no request uses now."""

    @property
    def available_bytes(self) -> int:
        return max(0, self.capacity_bytes - self.total_bytes)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A promise of bytes. Held until it is released; equal only to itself, by `number`."""

    number: int
    num_bytes: int
    usage: BufferUsage


@dataclass(frozen=True, slots=True)
class KernelSource:
    """A compute kernel in the device's own language, as `mlx.core.fast.metal_kernel` takes it: the body alone."""

    name: str
    body: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


MessageEvent = dict[str, object]
"""One event of a Messages stream, as the JSON object that stands behind `data:`."""


@dataclass(frozen=True, slots=True)
class Clause:
    """One numbered sentence of a contract. `blames` says who broke it when it does not hold."""

    id: str
    sentence: str
    blames: str = field(default="implementation")
