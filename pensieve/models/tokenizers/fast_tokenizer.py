"""A tokenizer without Transformers, built from a `tokenizers.Tokenizer`, some metadata and a chat template.

Transformers takes seconds to import and half a second to load a tokenizer, only to run a `tokenizers.Tokenizer` and a
Jinja template. `load` decides which folders can be loaded without it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from tokenizers import Tokenizer

from pensieve.models.templates.environment import compile_template
from pensieve.models.tokenizers import unlocked

NAMED_TOKENS: Final = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
UNBOUNDED: Final = int(1e30)
"""Transformers' model_max_length for a tokenizer without one."""
_REASONING: Final = ("reasoning_content", "thinking", "reasoning")
"""The names of an answer's thinking in templates and clients."""

_cached_template = cache(compile_template)


@dataclass(frozen=True, slots=True)
class TokenizerMetadata:
    """A tokenizer's metadata besides its vocabulary and rules."""

    special_tokens: Mapping[str, str]
    """Special tokens by their names in Transformers."""
    chat_template: str | Mapping[str, str] | None
    """One template, or several by name: "tool_use" for conversations with tools, "default" for others."""
    model_max_length: int
    """In tokens."""
    settings: Mapping[str, Any]
    """`chat_template_type` of tokenizer_config.json, if it has that key."""


class FastTokenizer:
    """Replaces a Transformers tokenizer, with the same ids and text for the same arguments.

    Any thread may use it.
    """

    takes_functions = True
    """Templates may get functions as values. Transformers 5 turns those into text."""

    def __init__(self, backend: Tokenizer, metadata: TokenizerMetadata) -> None:
        backend.no_truncation()
        backend.no_padding()
        self.backend_tokenizer = backend
        self.special_tokens_map = {
            name: metadata.special_tokens[name] for name in NAMED_TOKENS if name in metadata.special_tokens
        }
        self.chat_template = metadata.chat_template
        self.model_max_length = metadata.model_max_length
        self.init_kwargs = dict(metadata.settings)

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size())

    def __getattr__(self, name: str) -> Any:
        """Named tokens and their ids, such as `eos_token` and `bos_token_id`. None if the model has none."""
        token_name = name.removesuffix("_id")
        if token_name not in NAMED_TOKENS:
            raise AttributeError(name)
        token = self.special_tokens_map.get(token_name)
        return token if name == token_name or token is None else self.backend_tokenizer.token_to_id(token)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.backend_tokenizer.get_vocab())

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return unlocked.encode(self.backend_tokenizer, text, add_special_tokens=add_special_tokens)

    def decode(
        self,
        token_ids: int | Sequence[int],
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,  # noqa: ARG002 - `load` rejects tokenizers where it matters
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        return str(self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        """One token or a list of tokens. None for an unknown id."""
        if isinstance(ids, int):
            return self.backend_tokenizer.id_to_token(ids)
        return [self.backend_tokenizer.id_to_token(token_id) for token_id in ids]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """One id or a list of ids. The unknown token's id for an unknown token."""
        if isinstance(tokens, str):
            token_id = self.backend_tokenizer.token_to_id(tokens)
            return self.unk_token_id if token_id is None else token_id
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def apply_chat_template(  # noqa: PLR0913 - the signature of Transformers
        self,
        conversation: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        tokenize: bool = True,
        return_dict: bool = False,
        **values: Any,
    ) -> Any:
        """The rendered conversation, or its token ids if `tokenize`. `chat_template` overrides the tokenizer's own.

        Raises:
            ValueError: there is no template or no message, or `return_dict` is set, which is not supported.
            jinja2.TemplateError: the template refuses the conversation. Templates may raise other errors as well.
        """
        if return_dict or not conversation:
            raise ValueError("apply_chat_template needs at least one message, and return_dict=False")
        text = apply_template(
            chat_template or self._template(has_tools=tools is not None),
            conversation,
            tools,
            {**self.special_tokens_map, "add_generation_prompt": add_generation_prompt, **values},
        )
        return self.encode(text, add_special_tokens=False) if tokenize else text

    def _template(self, *, has_tools: bool) -> str:
        template = self.chat_template
        if isinstance(template, Mapping):
            template = template["tool_use"] if has_tools and "tool_use" in template else template.get("default")
        if template is None:
            raise ValueError("this model has no chat template named 'default'")
        return template


def apply_template(
    template: str,
    conversation: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None,
    values: Mapping[str, Any],
) -> str:
    """As Transformers renders a conversation, but within limits.

    Raises:
        TemplateLimitError: the template exceeds a limit.
        jinja2.TemplateError: the template refuses the conversation. Templates may raise other errors as well.
    """
    messages = [_for_template(message) for message in conversation]
    return str(_cached_template(template).render(messages=messages, tools=tools, documents=None, **values))


def _for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    """Drop keys that are None, which templates would print, and give thinking both names that templates read."""
    present = {key: value for key, value in message.items() if value is not None}
    reasoning = next((present[key] for key in _REASONING if key in present), None)
    return present if reasoning is None else {"thinking": reasoning, **present, "reasoning_content": reasoning}
