"""A thinking budget: closes the model's thinking once it has spent its tokens (W15)."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx


class ThinkingBudget:
    """A logits processor: (token ids so far, logits [1, vocabulary]) to logits.

    All parts of an answer's thinking share the budget. Once it is spent, the tokens of the closing mark (`close_ids`)
    are forced one by one. After that the opening mark (`open_ids`) is forbidden, or a model could reopen its thinking
    forever; a model that has not opened it yet may do so once, since models are trained on empty thinking.
    `is_open` means that the prompt already opened it.
    """

    def __init__(
        self, budget_tokens: int, close_ids: Sequence[int], open_ids: Sequence[int] = (), *, is_open: bool = True
    ) -> None:
        self._remaining = budget_tokens
        self._open_ids, self._close_ids = list(open_ids), list(close_ids)
        self._recent: list[int] = []
        self._forced: list[int] = []
        self._is_open = self._has_opened = is_open
        self._has_begun = False

    def __call__(self, token_ids: mx.array, logits: mx.array) -> mx.array:
        if not self._is_open and not self._open_ids:
            return logits
        if self._has_begun:
            self._observe(last_token(token_ids))
        self._has_begun = True
        if self._remaining > 0:
            return logits
        if self._is_open:
            self._forced = self._forced or list(self._close_ids)
            return mx.where(_is_token(logits, self._forced.pop(0)), logits, float("-inf"))
        if not self._has_opened or not self._may_open_next:
            return logits
        return mx.where(_is_token(logits, self._open_ids[:2][-1]), float("-inf"), logits)

    @property
    def _may_open_next(self) -> bool:
        """Whether the next token could be the one that identifies the opening mark.

        That is its second token where it has several: the first may open other parts of an answer as well.
        """
        return bool(self._open_ids) and (len(self._open_ids) == 1 or self._recent[-1:] == self._open_ids[:1])

    def _observe(self, token_id: int) -> None:
        self._remaining -= self._is_open
        self._recent = [*self._recent, token_id][-max(len(self._open_ids), len(self._close_ids)) :]
        mark = self._close_ids if self._is_open else self._open_ids
        if self._recent[-len(mark) :] == mark:
            self._is_open = not self._is_open
            self._has_opened |= self._is_open


def last_token(token_ids: mx.array) -> int:
    token_id: int = token_ids[-1].item()  # type: ignore[assignment]  # MLX's stub allows for every dtype
    return token_id


def _is_token(logits: mx.array, token_id: int) -> mx.array:
    return mx.arange(logits.shape[-1]) == token_id
