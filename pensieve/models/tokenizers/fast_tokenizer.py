"""A tokenizer without Transformers: its `tokenizers.Tokenizer`, the few facts around it, and its chat template.

Transformers takes seconds to import and another half to load a tokenizer, and what then works is a
`tokenizers.Tokenizer` and a Jinja template. `tokenizer_loading` decides which folders may go this way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from tokenizers import Tokenizer

from pensieve.models.tokenizers.jinja import compiled

NAMED_TOKENS: Final = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
UNBOUNDED: Final = int(1e30)
"""The longest text of a tokenizer that names none, as Transformers says it."""
_REASONING: Final = ("reasoning_content", "thinking", "reasoning")
"""What templates and clients call an answer's thinking."""

_compiled = cache(compiled)


@dataclass(frozen=True, slots=True)
class TokenizerFacts:
    """What is known of a tokenizer besides its vocabulary and rules."""

    special_tokens: Mapping[str, str]
    """By their names in Transformers."""
    chat_template: str | Mapping[str, str] | None
    """The template; or several by name, of which "tool_use" is for conversations with tools, "default" for others."""
    model_max_length: int
    """In tokens."""
    settings: Mapping[str, Any]
    """What tokenizer_config.json says to mlx-lm."""


class FastTokenizer:
    """Stands where a Transformers tokenizer would, for mlx-lm's wrapper and for what reads that here.

    The same ids and the same text as Transformers' own for the same arguments. Any thread may use it.
    """

    takes_functions = True
    """A template may be given functions among its values, which Transformers 5 turns into text."""

    def __init__(self, backend: Tokenizer, facts: TokenizerFacts) -> None:
        backend.no_truncation()
        backend.no_padding()
        self.backend_tokenizer = backend
        self.special_tokens_map = {
            name: facts.special_tokens[name] for name in NAMED_TOKENS if name in facts.special_tokens
        }
        self.chat_template = facts.chat_template
        self.model_max_length = facts.model_max_length
        self.init_kwargs = dict(facts.settings)

    def __len__(self) -> int:
        return int(self.backend_tokenizer.get_vocab_size())

    def __getattr__(self, name: str) -> Any:
        """The named tokens and their ids: `eos_token`, `bos_token_id`; None where the model has none."""
        token_name = name.removesuffix("_id")
        if token_name not in NAMED_TOKENS:
            raise AttributeError(name)
        token = self.special_tokens_map.get(token_name)
        return token if name == token_name or token is None else self.backend_tokenizer.token_to_id(token)

    def get_vocab(self) -> dict[str, int]:
        return dict(self.backend_tokenizer.get_vocab())

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return list(self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(
        self,
        token_ids: int | Sequence[int],
        *,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool = False,  # noqa: ARG002 - where it would change a text, none of these is made
    ) -> str:
        ids = [token_ids] if isinstance(token_ids, int) else list(token_ids)
        return str(self.backend_tokenizer.decode(ids, skip_special_tokens=skip_special_tokens))

    def convert_ids_to_tokens(self, ids: int | Sequence[int]) -> Any:
        """A token, or a list of them; None for an id that there is not."""
        if isinstance(ids, int):
            return self.backend_tokenizer.id_to_token(ids)
        return [self.backend_tokenizer.id_to_token(token_id) for token_id in ids]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """An id, or a list of them; that of the unknown token for what is none."""
        if isinstance(tokens, str):
            found = self.backend_tokenizer.token_to_id(tokens)
            return self.unk_token_id if found is None else found
        return [self.convert_tokens_to_ids(token) for token in tokens]

    def apply_chat_template(  # noqa: PLR0913 - Transformers' own
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
        """The text of the conversation, or with `tokenize` its token ids. `chat_template` takes the place of its own.

        Raises:
            ValueError: there is no template, or no message; `return_dict` is asked for.
            jinja2.TemplateError: the template does not take the conversation; it may raise anything else as well.
        """
        if return_dict or not conversation:
            raise ValueError("a chat template writes one message or more, and nothing but their text or ids")
        template = _compiled(chat_template or self._template(has_tools=tools is not None))
        text = template.render(
            messages=[_as_said(message) for message in conversation],
            tools=tools,
            documents=None,
            add_generation_prompt=add_generation_prompt,
            **{**self.special_tokens_map, **values},
        )
        return self.encode(text, add_special_tokens=False) if tokenize else text

    def _template(self, *, has_tools: bool) -> str:
        template = self.chat_template
        if isinstance(template, Mapping):
            template = template["tool_use"] if has_tools and "tool_use" in template else template.get("default")
        if template is None:
            raise ValueError("this model has no chat template that goes for all conversations")
        return template


def _as_said(message: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is None, which templates take for a text; with its thinking under every name that they know."""
    said = {key: value for key, value in message.items() if value is not None}
    reasoning = next((said[key] for key in _REASONING if key in said), None)
    return said if reasoning is None else {"thinking": reasoning, **said, "reasoning_content": reasoning}
