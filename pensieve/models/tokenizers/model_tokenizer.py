"""A tokenizer with what else a model's folder says of it: the tokens that end an answer, and a template in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


class ModelTokenizer:
    """Everything but what is defined here is the tokenizer's own. Any thread may use it."""

    def __init__(
        self, tokenizer: Any, eos_token_ids: Iterable[int] = (), python_template: Callable[..., str] | None = None
    ) -> None:
        """`tokenizer` is a FastTokenizer or a Transformers tokenizer; `python_template` replaces its template."""
        self.tokenizer = tokenizer
        own = tokenizer.eos_token_id
        self.eos_token_ids = {*eos_token_ids, *([] if own is None else [own])}
        self._python_template = python_template

    @property
    def has_chat_template(self) -> bool:
        return self.tokenizer.chat_template is not None or self._python_template is not None

    def apply_chat_template(self, conversation: Any, *, tokenize: bool = True, **values: Any) -> Any:
        """The rendered conversation, or its token ids if `tokenize`.

        Raises:
            Exception: of any type, from the template.
        """
        if self._python_template is None:
            return self.tokenizer.apply_chat_template(conversation, tokenize=tokenize, return_dict=False, **values)
        text = self._python_template(conversation, **values)
        return self.tokenizer.encode(text, add_special_tokens=False) if tokenize else text

    def __len__(self) -> int:
        return len(self.tokenizer)

    def __getattr__(self, name: str) -> Any:
        if name == "tokenizer" or name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.tokenizer, name)
