"""A request whose prompt is rendered, tokenized and checked: all that the batch needs to compute its answer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.values.vocabulary import GenerationRequest
from pensieve.core.prefixes.boundary import Boundary

if TYPE_CHECKING:
    from pensieve.engine.prompt_cache.answer_memory import AnswerMemory
    from pensieve.models.tokenizers.compiled_grammar import AnswerMatcher


@dataclass(frozen=True, eq=False, slots=True)
class PreparedPrompt:
    request: GenerationRequest
    token_ids: list[int]
    starts_thinking: bool = False
    matcher: AnswerMatcher | None = None
    """The grammar that constrains the answer; this prompt's own copy."""
    window_tokens: int = sys.maxsize
    """The most tokens that prompt and answer may have together, whatever `max_tokens` is."""
    boundaries: tuple[Boundary, ...] = ()
    """Where in the prompt computed state is worth storing."""
    answers: AnswerMemory | None = None
    """Remembers the answer's token ids, so that later prompts contain exactly those."""
    cached_tokens: int = 0
    """Those in the prompt cache when the request arrived. `differs_in` names the part that follows them."""
    differs_in: str = ""

    @property
    def namespace(self) -> str:
        """Of the prompt cache: only requests of the same one share what is computed."""
        return self.request.client.namespace

    @property
    def fingerprint(self) -> int:
        """The same for a request that is sent again."""
        return hash((tuple(self.token_ids), self.request.max_tokens))
