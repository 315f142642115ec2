"""Requests, models, memory and errors as values, with units in their names (S2, S3, S7).

The terms are those of Anthropic's Messages API. `generation` has the events of a generation, `measurements` metrics.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class ErrorKind(Enum):
    """What went wrong (S2). Every error that crosses a boundary has one as its `kind`."""

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
    """Why a generation ended, in the API's terms."""

    END_TURN = "end_turn"
    MAX_TOKENS = "max_tokens"
    STOP_SEQUENCE = "stop_sequence"
    TOOL_USE = "tool_use"
    WINDOW_FULL = "model_context_window_exceeded"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call by the model. `arguments` is a JSON object as text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One turn of a conversation, as the chat template sees it.

    An assistant turn may have thinking before its text and calls after it. A turn with Role.TOOL is the result of the
    call `tool_call_id`, or its failure if `is_error`.
    """

    role: Role
    text: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False
    cache_ttl_seconds: int | None = None
    """How long the client wants the prompt up to here cached, if it marked this turn with `cache_control`. Not part of
    the prompt."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call. `input_schema` is the JSON schema of the arguments, an object, as text.

    A `deferred` tool is described where the conversation references it, not at the head of the prompt. A `withdrawn`
    one is still described there, but can no longer be called. The input of a `strict` tool satisfies its whole schema,
    or the request is refused.
    """

    name: str
    description: str
    input_schema: str
    deferred: bool = False
    withdrawn: bool = False
    strict: bool = False
    unavailable: bool = False
    """Neither the client nor this server can run it: a call fails, and the model goes on. It is never forced."""
    place: str = field(default="", compare=False)
    """Where the request defines it, such as `tools.0`. It names the tool in a refusal."""


class ToolMode(Enum):
    AUTO = "auto"
    ANY = "any"
    TOOL = "tool"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`name` is set with ToolMode.TOOL. Without `parallel`, an answer has at most one call."""

    mode: ToolMode = ToolMode.AUTO
    name: str | None = None
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class Thinking:
    """Whether the model reasons before it answers, and for at most how many tokens (None: no limit).

    With `omitted`, the model thinks and the block is signed, but its text is not sent. `effort` is "minimal", "low",
    "medium", "high", "xhigh" or "max", or None if the client does not set it. `keeps_past` says whether the thinking of
    earlier turns stays in the prompt; None leaves that to the model's template.
    """

    enabled: bool = False
    budget_tokens: int | None = None
    omitted: bool = False
    effort: str | None = None
    keeps_past: bool | None = None


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Who sends a request: the name of its key or, without named keys, its address.

    Work is shared out fairly by `name`. Only clients of the same `namespace` share what was computed or remembered.
    Nothing that a client writes into a request changes either.
    """

    name: str = field(default="", compare=False)
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class Prompt:
    """The parts of a request that the chat template turns into token ids: what the token count counts."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[Tool, ...] = ()
    thinking: Thinking = Thinking()
    is_raw: bool = False
    """The messages' text is the prompt itself, without a chat template."""
    client: ClientIdentity = ClientIdentity()


@dataclass(frozen=True, slots=True)
class Sampling:
    """The client's sampling parameters. None leaves a field to the model's default.

    `temperature` is 0.0 to 2.0; at 0.0 the most probable token is taken. `top_p`, 0.0 to 1.0, keeps the most probable
    tokens whose probabilities add up to it; `top_k` keeps that many tokens, and 0 keeps all; `min_p`, 0.0 to 1.0, keeps
    tokens at least that probable relative to the most probable one. `repetition_penalty`, above 0.0 and up to 10.0,
    makes recent tokens less probable; 1.0 changes nothing (Keskar et al., 2019: "CTRL"). `presence_penalty` and
    `frequency_penalty`, -2.0 to 2.0, are subtracted from the logit of each token that the answer already has, once and
    once for each time (OpenAI: "Frequency and presence penalties"); 0.0 changes nothing.
    """

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request to a model.

    `max_tokens` counts sampled tokens, including the end-of-turn token. At 0 the prompt is computed and stored, and
    nothing is sampled. It may be larger than the window.
    """

    messages: tuple[ChatMessage, ...]
    max_tokens: int
    sampling: Sampling = Sampling()
    stop_sequences: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    thinking: Thinking = Thinking()
    output_schema: str | None = None
    """A JSON schema, as text, that constrains the whole answer while it is decoded."""
    strict_output: bool = False
    """The request is refused if the output schema cannot be enforced as a whole."""
    is_raw: bool = False
    """As in Prompt."""
    is_retry: bool = field(default=False, compare=False)
    """The client repeats a request that it got no answer to."""
    client: ClientIdentity = ClientIdentity()

    @property
    def prompt(self) -> Prompt:
        return Prompt(self.messages, self.tools, self.thinking, self.is_raw, self.client)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """`context_window_tokens` limits prompt and output together; `created_at` is an RFC 3339 time."""

    id: str
    display_name: str
    context_window_tokens: int
    created_at: str


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The model to load. `source` is the embedded model's name, a folder, or a hub name such as `organisation/name`."""

    source: str


class ModelFeature(Enum):
    """What a loaded model can do (S3).

    FUNCTION_CALLING means that the model's own template supports tools. TOOL_CALLING means that requests may use tools,
    for which an engine that describes tools in a general format and constrains calls to their schemas is enough.
    """

    STREAMING = "streaming"
    SYSTEM_PROMPT = "system_prompt"
    TOOL_CALLING = "tool_calling"
    FUNCTION_CALLING = "function_calling"
    JSON_MODE = "json_mode"


class BufferUsage(Enum):
    """The purpose of reserved bytes."""

    MODEL_WEIGHTS = "model_weights"
    KV_CACHE = "kv_cache"
    STORED_PROMPTS = "stored_prompts"
    """KV that no request uses now: it is freed before a request is refused."""
    ACTIVATION = "activation"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class MemoryUsage:
    """Bytes, read from the allocator where possible. `total_bytes` of `capacity_bytes` are in use.

    `peak_bytes` also counts buffers that the allocator keeps for later, as the ledger does.
    """

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
    """Reserved bytes, held until they are released. `number` makes every reservation unique."""

    number: int
    num_bytes: int
    usage: BufferUsage


@dataclass(frozen=True, slots=True)
class KernelSource:
    """The body of a compute kernel in the device's language, as `mlx.core.fast.metal_kernel` takes it."""

    name: str
    body: str
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]


MessageEvent = dict[str, object]
"""One event of a Messages stream: the JSON object of its `data:` line."""
