"""The vocabulary in a GGUF file's metadata, checked before a tokenizer is built from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.file import GgufFile
from pensieve.models.gguf.tokenizers.pre_tokenizers import Json


class TokenKind(IntEnum):
    """The values of `tokenizer.ggml.token_type`, which are SentencePiece's."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


_ROLES: Final = ("bos", "eos", "unknown", "padding")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The tokens, all different, in the order of their ids."""

    path: str
    tokens: list[str]
    kinds: list[int]
    roles: Mapping[str, int]
    """The ids of `bos`, `eos`, `unknown` and `padding`, without those that the file does not have."""
    metadata: Mapping[str, Any]

    def named(self, role: str) -> str | None:
        return self.tokens[self.roles[role]] if role in self.roles else None

    def flag(self, name: str, *, default: bool) -> bool:
        """The boolean `tokenizer.ggml.<name>`, or a `ModelLoadingError` if it has another type."""
        value = self.metadata.get(f"tokenizer.ggml.{name}", default)
        if not isinstance(value, bool):
            raise self.damaged(f"{name} is {value!r:.40}; it must be true or false")
        return value

    def list_of(self, name: str, item_type: type[str] | type[float]) -> list[Any]:
        """The list `tokenizer.ggml.<name>`, or a `ModelLoadingError` if it is missing or has items of another type."""
        return _list_of(self.path, self.metadata, name, item_type)

    def damaged(self, reason: str) -> ModelLoadingError:
        return _damaged(self.path, reason)

    def added_tokens(self, special: frozenset[int], *, rstrip: frozenset[int] = frozenset()) -> list[Json]:
        """The `added_tokens` of tokenizer.json, which are matched before a text is split.

        They are the tokens of the kinds in `special`, which decoding can skip, and the user-defined ones. The ids in
        `rstrip` absorb the white space after them.
        """
        return [
            {
                "id": token_id,
                "content": self.tokens[token_id],
                "single_word": False,
                "lstrip": False,
                "rstrip": token_id in rstrip,
                "normalized": False,
                "special": kind in special,
            }
            for token_id, kind in enumerate(self.kinds)
            if kind in special or kind == TokenKind.USER_DEFINED
        ]

    def post_processor(self, *, adds_bos: bool) -> Json | None:
        """Adds the first and last token to a raw prompt, as the file requires. None if it requires neither.

        The output of a chat template is encoded without it (`PromptEncoder`), because it has its own first token.
        """
        first_roles, last_roles = [], []
        if self.flag("add_bos_token", default=adds_bos) and "bos" in self.roles:
            first_roles.append("bos")
        if self.flag("add_eos_token", default=False) and "eos" in self.roles:
            last_roles.append("eos")
        if not first_roles and not last_roles:
            return None
        first, last = ([self._special(role) for role in roles] for roles in (first_roles, last_roles))
        text = {"Sequence": {"id": "A", "type_id": 0}}
        second = {"Sequence": {"id": "B", "type_id": 1}}
        tokens = {self.tokens[self.roles[role]]: self.roles[role] for role in (*first_roles, *last_roles)}
        return {
            "type": "TemplateProcessing",
            "single": [*first, text, *last],
            "pair": [*first, text, *last, *first, second, *last],
            "special_tokens": {
                token: {"id": token, "ids": [token_id], "tokens": [token]} for token, token_id in tokens.items()
            },
        }

    def _special(self, role: str) -> Json:
        return {"SpecialToken": {"id": self.tokens[self.roles[role]], "type_id": 0}}


def vocabulary_of(gguf: GgufFile) -> Vocabulary:
    """Read and check the vocabulary of a file.

    Raises:
        ModelLoadingError: the vocabulary is missing, inconsistent, or larger than the embeddings.
    """
    path = str(gguf.path)
    texts = _list_of(path, gguf.metadata, "tokens", str)
    tokens = [token or f"[EMPTY_{token_id}]" for token_id, token in enumerate(texts)]
    kinds = _list_of(path, gguf.metadata, "token_type", int)
    if len(kinds) != len(tokens) or not set(kinds) <= {*TokenKind}:
        raise _damaged(path, f"{len(kinds)} token types for {len(tokens)} tokens, or an unknown type")
    if len(set(tokens)) != len(tokens):
        (duplicate, _), *_ = Counter(tokens).most_common(1)
        raise _damaged(path, f"the token {duplicate!r:.80} is defined twice")
    embeddings = gguf.tensors.get("token_embd.weight")
    if embeddings is not None and len(tokens) > embeddings.shape[0]:
        raise _damaged(path, f"{len(tokens)} tokens, but embeddings for only {embeddings.shape[0]}")
    roles = {}
    for role in _ROLES:
        token_id = gguf.metadata.get(f"tokenizer.ggml.{role}_token_id")
        if token_id is not None:
            if not isinstance(token_id, int) or not 0 <= token_id < len(tokens):
                raise _damaged(path, f"the {role} token is {token_id!r:.40}; it must be an id below {len(tokens)}")
            roles[role] = token_id
    return Vocabulary(path, tokens, kinds, roles, gguf.metadata)


def _list_of(path: str, metadata: Mapping[str, Any], name: str, item_type: type[str] | type[float]) -> list[Any]:
    items = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(items, list) or not all(isinstance(item, item_type) for item in items):
        raise _damaged(path, f"tokenizer.ggml.{name} is missing, or not a list of {item_type.__name__}")
    return items


def _damaged(path: str, reason: str) -> ModelLoadingError:
    return ModelLoadingError(path, f"the tokenizer's metadata is damaged: {reason}")
