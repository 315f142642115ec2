"""Turns sampled tokens into the events of one generation: whole text, with thinking and tool calls separated."""

from __future__ import annotations

import secrets
from typing import Protocol

from contracts.values.generation import (
    GenerationEvent,
    GenerationFinished,
    TextGenerated,
    ThinkingGenerated,
    ToolArgumentsGenerated,
    ToolCallEnded,
    ToolCallStarted,
)
from contracts.values.vocabulary import ChatMessage, Role, StopReason, ToolCall, ToolMode
from pensieve.core.answers.growing_text import GrowingText
from pensieve.core.answers.parser import AnswerParser
from pensieve.core.answers.pieces import ArgumentsPiece, CallEnd, CallStart, Piece, TextPiece, ThinkingPiece
from pensieve.core.answers.states import State
from pensieve.core.answers.stop_sequences import StopSequenceFilter
from pensieve.core.dialects.dialect import Dialect
from pensieve.engine.prompt_cache.answer_memory import GeneratedAnswer
from pensieve.engine.requests.progress import AnswerProgress
from pensieve.engine.requests.prompt import PreparedPrompt


class Decoder(Protocol):
    """Decodes token ids one by one: what `step` and `finish` return adds up to the text of all ids decoded at once."""

    def step(self, token_id: int) -> str: ...

    def finish(self) -> str: ...


class Output:
    """One request's output so far. Stop sequences apply to text, not to thinking or tool arguments."""

    def __init__(
        self,
        prompt: PreparedPrompt,
        progress: AnswerProgress,
        decoder: Decoder,
        dialect: Dialect,
        *,
        streams_calls: bool,
    ) -> None:
        """`streams_calls`: a grammar constrains the answer, so a tool call that has begun is sure to be well-formed."""
        request = prompt.request
        tools = () if request.tool_choice.mode is ToolMode.NONE else tuple(t for t in request.tools if not t.withdrawn)
        self._prompt = prompt
        self._progress = progress
        self._decoder = decoder
        self._parser = AnswerParser(dialect, tools, starts_thinking=prompt.starts_thinking, streams_calls=streams_calls)
        self._filter = StopSequenceFilter(request.stop_sequences)
        self._shows_thinking = request.thinking.enabled
        self._call_is_open = False
        self._num_calls = 0
        self._turn = _TurnRecorder()
        self._token_ids: list[int] = []

    def push(self, token_id: int, finish_reason: str | None) -> tuple[list[GenerationEvent], bool]:
        """Add a sampled token. Returns its events, and whether they end the generation.

        `finish_reason` is "stop" for a token that ends the turn (it has no text), "length" at its
        maximum length, None otherwise.
        """
        if not self._prompt.request.max_tokens:  # the prompt is computed, which is all that the client wants
            return [self.without_tokens()], True
        if finish_reason != "stop":
            self._token_ids.append(token_id)
        events, ended = self._events_of_token(token_id, finish_reason)
        self._turn.add(events)
        if ended and finish_reason is not None:
            self._remember()
        return events, ended

    def _events_of_token(self, token_id: int, finish_reason: str | None) -> tuple[list[GenerationEvent], bool]:
        text = "" if finish_reason == "stop" else self._decoder.step(token_id)
        was_thinking = self._parser.state is State.THINKING
        pieces = self._parser.feed(text + (self._decoder.finish() if finish_reason is not None else ""))
        self._progress.thinking_tokens += was_thinking or self._parser.state is State.THINKING
        if finish_reason is not None:
            pieces += self._parser.finish(is_cut=finish_reason == "length")
        events: list[GenerationEvent] = []
        for piece in pieces:
            events += self._events_of_piece(piece)
            if self._is_complete:
                return [*events, self._finished(finish_reason)], True
        if finish_reason is None:
            return events, False
        events += self._text(self._filter.finish())
        if self._call_is_open and finish_reason == "stop":
            events.append(ToolCallEnded())  # the model itself broke off: closed, but not counted
        return [*events, self._finished(finish_reason)], True

    def without_tokens(self) -> GenerationFinished:
        """The end of a request with a max_tokens of 0."""
        return GenerationFinished(StopReason.MAX_TOKENS, self._progress.usage)

    def _remember(self) -> None:
        """Remember the answer's tokens for when it comes back as history.

        Skips answers cut off after a stop sequence or after the only allowed tool call, because they are incomplete,
        and answers that continue the client's own words.
        """
        request = self._prompt.request
        answers = self._prompt.answers
        last_message = request.messages[-1] if request.messages else None
        is_complete = self._filter.matched is None and not request.is_raw
        if answers is None or not is_complete or last_message is None or last_message.role is Role.ASSISTANT:
            return
        answers.remember(
            GeneratedAnswer(self._turn.message(), last_message, tuple(self._token_ids), self._prompt.namespace)
        )

    @property
    def _is_complete(self) -> bool:
        """Whether a stop sequence was found, or the only allowed tool call is complete."""
        is_called = self._num_calls > 0 and not self._prompt.request.tool_choice.parallel
        return self._filter.matched is not None or is_called

    def _events_of_piece(self, piece: Piece) -> list[GenerationEvent]:
        if isinstance(piece, TextPiece):
            return self._text(self._filter.feed(piece.text))
        before = self._text(self._filter.finish())
        match piece:
            case ThinkingPiece(text):
                return (
                    [*before, ThinkingGenerated(text, self._progress.output_tokens)] if self._shows_thinking else before
                )
            case CallStart(name):
                self._call_is_open = True
                return [*before, ToolCallStarted(f"toolu_{secrets.token_hex(12)}", name)]
            case ArgumentsPiece(json):
                return [ToolArgumentsGenerated(json)]
            case CallEnd():
                self._call_is_open = False
                self._num_calls += 1
                return [ToolCallEnded()]

    def _text(self, text: str) -> list[GenerationEvent]:
        return [TextGenerated(text, self._progress.output_tokens)] if text else []

    def _finished(self, finish_reason: str | None) -> GenerationFinished:
        matched = self._filter.matched
        if matched is not None:
            reason = StopReason.STOP_SEQUENCE
        elif finish_reason == "length" and (self._call_is_open or not self._is_complete):
            reason = StopReason.WINDOW_FULL if self._progress.is_limited_by_window else StopReason.MAX_TOKENS
        else:
            reason = StopReason.TOOL_USE if self._num_calls else StopReason.END_TURN
        return GenerationFinished(reason, self._progress.usage, matched, self._progress.first_token_at)


class _TurnRecorder:
    """Collects the events sent to a client into the assistant turn that it will send back, one part for each block."""

    def __init__(self) -> None:
        self._texts: list[GrowingText] = []
        self._thoughts: list[GrowingText] = []
        self._calls: list[tuple[str, str, GrowingText]] = []
        self._open: list[GrowingText] | None = None

    def add(self, events: list[GenerationEvent]) -> None:
        for event in events:
            match event:
                case TextGenerated(text):
                    self._continue(self._texts, text)
                case ThinkingGenerated(text):
                    self._continue(self._thoughts, text)
                case ToolCallStarted(call_id, name):
                    self._calls.append((call_id, name, GrowingText()))
                    self._open = None
                case ToolArgumentsGenerated(json):
                    self._calls[-1][2].add(json)
                case _:
                    pass

    def message(self) -> ChatMessage:
        calls = tuple(ToolCall(call_id, name, str(arguments) or "{}") for call_id, name, arguments in self._calls)
        text, thinking = ("\n\n".join(map(str, parts)) for parts in (self._texts, self._thoughts))
        return ChatMessage(Role.ASSISTANT, text, thinking, calls)

    def _continue(self, parts: list[GrowingText], text: str) -> None:
        if self._open is not parts:
            parts.append(GrowingText())
            self._open = parts
        parts[-1].add(text)
