"""From a request to a ticket: the prompt rendered and tokenized, its length checked, its grammar built.

All of it runs on one thread of its own, off the event loop: fast tokenizers must not be shared between threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from contracts.values.vocabulary import GenerationRequest, Prompt
from pensieve.core.scheduling.validation import check_window
from pensieve.engine.assembly import EngineParts
from pensieve.engine.requests.ticket import Ticket
from pensieve.models.prompts.chat_template import RenderedPrompt

R = TypeVar("R")

MIN_DIFFERENCE_TOKENS = 256
"""Prompts with fewer uncached tokens are not searched for where they differ."""


class RequestPreparation:
    """Used on the event loop."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._thread = ThreadPoolExecutor(1, "pensieve-tokenize")

    async def compile_vocabulary(self) -> None:
        """Done once, before the first request."""
        await self._run(self._parts.grammars.prepare)

    async def count_tokens(self, prompt: Prompt) -> int:
        rendered = await self._run(lambda: self._render(self._parts.settings.prompt(prompt)))
        return len(rendered.token_ids)

    async def ticket(self, request: GenerationRequest) -> Ticket:
        """
        Raises:
            ValidationError: the prompt is empty, or leaves no room for an answer in the context window.
        """
        loop = asyncio.get_running_loop()
        return await self._run(lambda: self._ticket(request, loop))

    def close(self) -> None:
        self._thread.shutdown()

    async def _run(self, work: Callable[[], R]) -> R:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _render(self, prompt: Prompt) -> RenderedPrompt:
        template = self._parts.template
        if prompt.is_raw:
            return RenderedPrompt(template.encode_raw("".join(message.text for message in prompt.messages)))
        return template.render(prompt.messages, prompt.tools, prompt.thinking)

    def _ticket(self, request: GenerationRequest, loop: asyncio.AbstractEventLoop) -> Ticket:
        parts = self._parts
        prompt = self._render(request.prompt)
        window_tokens = parts.plan.window_tokens
        check_window(len(prompt.token_ids), request.max_tokens, window_tokens)
        cached_tokens = parts.prompt_cache.cached_tokens(prompt.token_ids)
        return Ticket(
            request,
            prompt.token_ids,
            prompt.starts_thinking,
            parts.grammars.matcher_for(request, starts_thinking=prompt.starts_thinking),
            window_tokens=window_tokens,
            boundaries=prompt.boundaries,
            answers=parts.answers,
            cached_at_first=cached_tokens,
            differs_in=self._difference(request, len(prompt.token_ids), cached_tokens),
            loop=loop,
        )

    def _difference(self, request: GenerationRequest, num_tokens: int, cached_tokens: int) -> str:
        """The part of the prompt at which it differs from the cached ones, or "" if most of it is cached."""
        prompt_cache = self._parts.prompt_cache
        if (
            not prompt_cache.num_bytes
            or request.is_raw
            or num_tokens - cached_tokens < max(MIN_DIFFERENCE_TOKENS, num_tokens // 2)
        ):
            return ""
        part = self._parts.template.locate(request.messages, request.tools, request.thinking, cached_tokens)
        prompt_cache.note_difference(part)
        return part
