"""From a request to a prepared prompt: rendered and tokenized, its length checked, its grammar built.

All of it runs off the event loop. A prompt that cannot fit the window is refused before it is rendered.
"""

from __future__ import annotations

import threading
from functools import partial

from contracts.values.vocabulary import ClientIdentity, GenerationRequest, Prompt
from pensieve.core.errors import PromptTooLongError
from pensieve.core.scheduling.validation import check_window
from pensieve.engine.assembly import EngineParts
from pensieve.engine.lanes import PreparationLanes
from pensieve.engine.requests.prompt import PreparedPrompt
from pensieve.models.prompts.chat_template import ChatTemplate, RenderedPrompt

MIN_DIFFERENCE_TOKENS = 256
"""Prompts with fewer uncached tokens are not searched for where they differ."""


class RequestPreparation:
    """Used on the event loop."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts
        self._lanes = PreparationLanes()
        self._grammars_lock = threading.Lock()

    async def compile_vocabulary(self) -> None:
        """Done once, before the first request."""
        await self._lanes.run(self._parts.grammars.prepare)

    async def count_tokens(self, prompt: Prompt) -> int:
        """Exact for a prompt that the window holds; an estimate for one that it certainly does not hold."""
        return await self._lanes.run(lambda: self._count(self._parts.settings.prompt(prompt)), prompt)

    async def prompt(self, request: GenerationRequest) -> PreparedPrompt:
        """
        Raises:
            ValidationError: the prompt is empty, or leaves no room for an answer in the context window.
        """
        return await self._lanes.run(lambda: self._prompt(request), request.prompt)

    def close(self) -> None:
        self._lanes.close()

    def _count(self, prompt: Prompt) -> int:
        estimate = self._parts.template.tokens_beyond(self._parts.plan.window_tokens, prompt)
        return len(self._render(prompt).token_ids) if estimate is None else estimate

    def _template_of(self, client: ClientIdentity) -> ChatTemplate:
        """The chat template, with the answers that were generated for the client's namespace."""
        namespace = client.namespace
        answers = self._parts.answers
        return (
            self._parts.template.of(namespace, partial(answers.recall, namespace=namespace))
            if namespace
            else self._parts.template
        )

    def _render(self, prompt: Prompt) -> RenderedPrompt:
        template = self._template_of(prompt.client)
        if prompt.is_raw:
            return RenderedPrompt(template.encode_raw("".join(message.text for message in prompt.messages)))
        return template.render(prompt.messages, prompt.tools, prompt.thinking)

    def _prompt(self, request: GenerationRequest) -> PreparedPrompt:
        parts = self._parts
        window_tokens = parts.plan.window_tokens
        estimate = parts.template.tokens_beyond(window_tokens, request.prompt)
        if estimate is not None:
            raise PromptTooLongError(estimate, window_tokens, is_raw=request.is_raw)
        prompt = self._render(request.prompt)
        check_window(len(prompt.token_ids), request.max_tokens, window_tokens, is_raw=request.is_raw)
        namespace = request.client.namespace
        cached_tokens = parts.prompt_cache.cached_tokens(prompt.token_ids, namespace=namespace)
        with self._grammars_lock:
            matcher = parts.grammars.matcher_for(request, starts_thinking=prompt.starts_thinking)
        return PreparedPrompt(
            request,
            prompt.token_ids,
            prompt.starts_thinking,
            matcher,
            window_tokens=window_tokens,
            boundaries=prompt.boundaries,
            answers=parts.answers,
            cached_tokens=cached_tokens,
            differs_in=self._difference(request, len(prompt.token_ids), cached_tokens),
        )

    def _difference(self, request: GenerationRequest, num_tokens: int, cached_tokens: int) -> str:
        """The part of the prompt at which it differs from the cached ones, or "" if most of it is cached."""
        prompt_cache = self._parts.prompt_cache
        if (
            prompt_cache.is_empty(namespace=request.client.namespace)
            or request.is_raw
            or num_tokens - cached_tokens < max(MIN_DIFFERENCE_TOKENS, num_tokens // 2)
        ):
            return ""
        part = self._template_of(request.client).locate(
            request.messages, request.tools, request.thinking, cached_tokens
        )
        prompt_cache.note_difference(part)
        return part
