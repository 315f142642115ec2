"""InferenceModel: a loaded model that answers requests (S1, S5, S6)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from contracts.clauses import Clause, ContractViolation, ensures, raises_only, refuses, requires, yields
from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    GenerationStarted,
    TextGenerated,
    ThinkingGenerated,
    ToolArgumentsGenerated,
    ToolCallEnded,
    ToolCallStarted,
)
from contracts.values.vocabulary import (
    ErrorKind,
    GenerationRequest,
    MemoryUsage,
    ModelFeature,
    ModelInfo,
    Prompt,
    StopReason,
)

_STREAM = Clause(
    "IM-8",
    "the stream is one GenerationStarted, then thinking and text that are never empty and calls that open and close, "
    "then one GenerationFinished; token counts never fall, stay within max_tokens and agree; a stop sequence never "
    "appears in the text; a call stays open only if max_tokens or the window cut it off",
)


def temperature_in_range(request: GenerationRequest) -> bool:
    """0.0 to 2.0 inclusive, or left to the model; NaN is out of range."""
    temperature = request.sampling.temperature
    return temperature is None or 0.0 <= temperature <= 2.0


def _filters_in_range(request: GenerationRequest) -> bool:
    """All sampling parameters except the temperature; NaN is out of range."""
    sampling = request.sampling
    shares = (share for share in (sampling.top_p, sampling.min_p) if share is not None)
    penalties = (sampling.presence_penalty, sampling.frequency_penalty)
    return (
        all(0.0 <= share <= 1.0 for share in shares)
        and (sampling.top_k is None or sampling.top_k >= 0)
        and (sampling.repetition_penalty is None or 0.0 < sampling.repetition_penalty <= 10.0)
        and all(-2.0 <= penalty <= 2.0 for penalty in penalties if penalty is not None)
    )


class InferenceModel(Protocol):
    """A model that answers conversations.

    It is called from one event loop at a time, with any number of concurrent streams, and never after `aclose`.
    """

    @property
    def info(self) -> ModelInfo:
        """The model's id and context window."""

    @ensures("IM-1", "a rendered prompt has at least one token", lambda result: result >= 1)
    @refuses(
        "IM-2", "an empty conversation is refused", lambda prompt: not prompt.messages, ErrorKind.VALIDATION, "messages"
    )
    @raises_only("IM-3", "counting fails only because of the conversation's content", ErrorKind.VALIDATION)
    async def count_tokens(self, prompt: Prompt) -> int:
        """The number of prompt tokens: exactly the `input_tokens` that generating from the same prompt would report.

        An estimate beyond the window if the prompt certainly is: such a prompt need not be tokenised to be refused.

        Raises:
            VALIDATION: there are no messages, or the model's chat template rejects their order.
        """

    @refuses(
        "IM-4",
        "a max_tokens below 0 is refused",
        lambda request: request.max_tokens < 0,
        ErrorKind.VALIDATION,
        "max_tokens",
    )
    @refuses(
        "IM-5",
        "a temperature outside 0.0 to 2.0, or NaN, is refused",
        lambda request: request.max_tokens >= 0 and not temperature_in_range(request),
        ErrorKind.VALIDATION,
        "temperature",
    )
    @refuses(
        "IM-6",
        "a top_p or min_p outside 0.0 to 1.0, a top_k below 0, a repetition_penalty outside 0.0 (exclusive) to 10.0, "
        "or a presence_penalty or frequency_penalty outside -2.0 to 2.0 is refused, and so is NaN",
        lambda request: request.max_tokens >= 0 and temperature_in_range(request) and not _filters_in_range(request),
        ErrorKind.VALIDATION,
    )
    @refuses("IM-7", "an empty conversation is refused", lambda request: not request.messages, ErrorKind.VALIDATION)
    @yields("IM-8", _STREAM.sentence, lambda request: GenerationMonitor(request))  # noqa: PLW0108 - defined below
    @raises_only(
        "IM-9",
        "a generation fails only with a documented error",
        ErrorKind.VALIDATION,
        ErrorKind.INSUFFICIENT_MEMORY,
        ErrorKind.OVERLOADED,
        ErrorKind.GENERATION,
        ErrorKind.DEVICE,
    )
    def generate(self, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
        """Answer a conversation, event by event. Every refusal comes before the first event.

        Closing the generator (`aclosing`) cancels the generation between two steps and releases its memory.

        Raises:
            VALIDATION: the conversation is empty, a parameter is out of range, or the prompt leaves no room for an
                answer in the window. A `max_tokens` beyond the window is accepted.
            INSUFFICIENT_MEMORY: the request's KV cache can never fit.
            OVERLOADED: the queue is full.
            GENERATION, DEVICE: the model or its device failed, possibly after the first event.
        """

    @ensures(
        "IM-10",
        "no figure is negative, the parts do not exceed the total, and the total does not exceed the peak",
        lambda result: (
            min(result.model_weights_bytes, result.kv_cache_bytes, result.activation_bytes) >= 0
            and result.model_weights_bytes + result.kv_cache_bytes + result.activation_bytes <= result.total_bytes
            and result.total_bytes <= result.peak_bytes
        ),
    )
    @raises_only("IM-11", "reading memory usage never fails")
    async def memory_usage(self) -> MemoryUsage:
        """Bytes in use now, read from the allocator where possible."""

    @requires("IM-12", "the feature is a ModelFeature", lambda feature: isinstance(feature, ModelFeature))
    @ensures("IM-13", "the answer is a bool", lambda result: isinstance(result, bool))
    async def supports_feature(self, feature: ModelFeature) -> bool:
        """Whether the model has the feature, judged by its template and files."""

    async def aclose(self) -> None:
        """Cancel every stream, free the weights and stop the threads. Closing again does nothing."""


class GenerationMonitor:
    """Clause IM-8, item by item. Keeps just enough of the text's end to find a stop sequence across items."""

    def __init__(self, request: GenerationRequest) -> None:
        self._max_tokens = request.max_tokens
        self._stop_sequences = tuple(stop for stop in request.stop_sequences if stop)
        self._tail_length = max((len(stop) for stop in self._stop_sequences), default=1) - 1
        self._tail = ""
        self._started: GenerationStarted | None = None
        self._finished = False
        self._output_tokens = 0
        self._in_call = False
        self._num_calls = 0

    def see(self, item: GenerationEvent, /) -> None:
        self._expect(not self._finished, "an event after GenerationFinished")
        if isinstance(item, GenerationStarted):
            self._expect(self._started is None, "GenerationStarted came twice")
            self._expect(item.input_tokens >= 1, "the prompt has no tokens")
            self._started = item
            return
        self._expect(self._started is not None, "an event before GenerationStarted")
        match item:
            case TextGenerated():
                self._see_text(item)
            case ThinkingGenerated():
                self._expect(item.text != "" and not self._in_call, "thinking is empty or within a call")
                self._count(item.output_tokens)
            case ToolCallStarted():
                self._expect(
                    bool(item.id and item.name) and not self._in_call,
                    "a call has no name, or is within a call",
                )
                self._in_call, self._num_calls = True, self._num_calls + 1
            case ToolArgumentsGenerated():
                self._expect(item.json != "" and self._in_call, "arguments are empty or outside a call")
            case ToolCallEnded():
                self._expect(self._in_call, "a call ended that was not open")
                self._in_call = False
            case GenerationFinished():
                self._see_finish(item)
            case _:
                self._expect(False, f"{type(item).__name__} is not an event")  # noqa: FBT003 - it always fails

    def finish(self) -> None:
        self._expect(self._finished, "the stream ended without GenerationFinished")

    def _see_text(self, item: TextGenerated) -> None:
        self._expect(item.text != "" and not self._in_call, "text is empty or within a call")
        self._count(item.output_tokens)
        window = self._tail + item.text
        self._expect(not any(stop in window for stop in self._stop_sequences), "a stop sequence appears in the text")
        self._tail = window[-self._tail_length :] if self._tail_length else ""

    def _see_finish(self, item: GenerationFinished) -> None:
        self._count(item.usage.output_tokens)
        self._expect(
            self._started is not None and item.usage.input_tokens == self._started.input_tokens,
            "input_tokens differ between start and end",
        )
        stopped = item.stop_reason is StopReason.STOP_SEQUENCE
        self._expect(stopped == (item.stop_sequence is not None), "stop_sequence does not match the stop reason")
        self._expect(not stopped or item.stop_sequence in self._stop_sequences, "the stop sequence was not requested")
        cut = item.stop_reason is StopReason.MAX_TOKENS
        self._expect(not cut or item.usage.output_tokens == self._max_tokens, "it was cut off before max_tokens")
        full = item.stop_reason is StopReason.WINDOW_FULL
        self._expect(not full or item.usage.output_tokens < self._max_tokens, "max_tokens, not the window, cut it off")
        self._expect(cut or full or not self._in_call, "a call is still open")
        thinking_tokens = item.usage.thinking_tokens
        self._expect(0 <= thinking_tokens <= item.usage.output_tokens, "more thinking_tokens than output_tokens")
        called = item.stop_reason is StopReason.TOOL_USE
        self._expect(not called or self._num_calls > 0, "it stopped for a call that was not made")
        self._finished = True

    def _count(self, output_tokens: int) -> None:
        self._expect(
            self._output_tokens <= output_tokens <= self._max_tokens, "output_tokens fell or exceeded max_tokens"
        )
        self._output_tokens = output_tokens

    @staticmethod
    def _expect(holds: bool, detail: str) -> None:  # noqa: FBT001 - a condition and its message
        if not holds:
            raise ContractViolation(_STREAM, detail)
