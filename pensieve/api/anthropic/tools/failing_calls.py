"""Answers the model's calls of unavailable tools with their error, and lets the model go on in the same message.

Source: Anthropic's documentation, "Web search tool", errors: the call and its error are content of the answer, which
goes on after them. A client needs to do nothing.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from contracts.values.generation import GenerationEvent, GenerationFinished, GenerationStarted, Usage
from contracts.values.vocabulary import ChatMessage, GenerationRequest, Role, StopReason
from pensieve.core.answers.whole_answer import WholeAnswer
from pensieve.core.errors import ValidationError

log = logging.getLogger(__name__)

Generate = Callable[[GenerationRequest], AsyncGenerator[GenerationEvent, None]]

UNAVAILABLE: Final = "<error_code>unavailable</error_code>"
"""The error as the model reads it: the same now as when the client sends the answer back (C1)."""

MAX_ROUNDS: Final = 3
"""How often an answer goes on after calls that failed. A small model may repeat its call for ever."""


async def with_failing_calls(generate: Generate, request: GenerationRequest) -> AsyncGenerator[GenerationEvent, None]:
    """The events of one message. If all calls of an answer fail, the model's next answer follows.

    Raises:
        PensieveError: as `generate`. That there is no room for another answer ends the message instead.
    """
    answers = [_Answer(request)]
    is_full = False
    while True:
        is_first = len(answers) == 1
        try:
            async with aclosing(generate(answers[-1].request)) as events:
                async for event in events:
                    if answers[-1].add(event) and (is_first or not isinstance(event, GenerationStarted)):
                        yield event
        except ValidationError:
            if is_first:
                raise
            answers.pop()
            is_full = True
            break
        if len(answers) > MAX_ROUNDS or not answers[-1].may_go_on:
            break
        answers.append(answers[-1].after_errors())
        log.warning("the model called a tool that this server cannot run, and goes on with its error")
    stop_reason = StopReason.WINDOW_FULL if is_full else answers[-1].stop_reason
    yield replace(answers[-1].finished, stop_reason=stop_reason, usage=_usage(answers))


def _usage(answers: Sequence[_Answer]) -> Usage:
    """The prompt as the client counts it, and the tokens of all answers."""
    usages = [answer.finished.usage for answer in answers]
    return replace(
        usages[0],
        output_tokens=sum(usage.output_tokens for usage in usages),
        thinking_tokens=sum(usage.thinking_tokens for usage in usages),
    )


class _Answer:
    """What the model writes in answer to one request. `finished` is its last event."""

    finished: GenerationFinished

    def __init__(self, request: GenerationRequest) -> None:
        self.request = request
        self._collected = WholeAnswer()
        self._unavailable = {tool.name for tool in request.tools if tool.unavailable and not tool.withdrawn}

    def add(self, event: GenerationEvent) -> bool:
        """Whether more may follow the event."""
        self._collected.add(event)
        if isinstance(event, GenerationFinished):
            self.finished = event
        return not isinstance(event, GenerationFinished)

    @property
    def may_go_on(self) -> bool:
        return self._failed and self._tokens_left > 0

    @property
    def stop_reason(self) -> StopReason:
        """Tool use would promise a call that the client can run."""
        if not self._failed:
            return self.finished.stop_reason
        return StopReason.END_TURN if self._tokens_left > 0 else StopReason.MAX_TOKENS

    def after_errors(self) -> _Answer:
        """The answer that follows the errors."""
        answer = self._collected
        turn = ChatMessage(Role.ASSISTANT, answer.text, answer.thinking, answer.calls)
        errors = (ChatMessage(Role.TOOL, UNAVAILABLE, tool_call_id=call.id, is_error=True) for call in answer.calls)
        messages = (*self.request.messages, turn, *errors)
        return _Answer(replace(self.request, messages=messages, max_tokens=self._tokens_left, is_retry=False))

    @property
    def _failed(self) -> bool:
        """Whether the model called tools, all of them unavailable."""
        names = {call.name for call in self._collected.calls}
        return self.finished.stop_reason is StopReason.TOOL_USE and names <= self._unavailable

    @property
    def _tokens_left(self) -> int:
        return self.request.max_tokens - self.finished.usage.output_tokens
