"""The vocabulary that a GGUF file describes in its metadata, checked before a tokenizer is built from it."""

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
    """`tokenizer.ggml.token_type`, which are SentencePiece's own numbers."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


_ROLES: Final = ("bos", "eos", "unknown", "padding")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens by their ids, no two the same."""

    path: str
    tokens: list[str]
    kinds: list[int]
    roles: Mapping[str, int]
    """The ids of `bos`, `eos`, `unknown` and `padding`, as far as the file names them."""
    metadata: Mapping[str, Any]

    def named(self, role: str) -> str | None:
        return self.tokens[self.roles[role]] if role in self.roles else None

    def flag(self, name: str, *, default: bool) -> bool:
        """A yes or no of the tokenizer.

        Raises:
            ModelLoadingError: it is neither.
        """
        value = self.metadata.get(f"tokenizer.ggml.{name}", default)
        if not isinstance(value, bool):
            raise self.damaged(f"{name} is {value!r:.40}")
        return value

    def list_of(self, name: str, of: type[str] | type[float]) -> list[Any]:
        """A list of the tokenizer.

        Raises:
            ModelLoadingError: it is missing or holds something else.
        """
        return _list_of(self.path, self.metadata, name, of)

    def damaged(self, what: str) -> ModelLoadingError:
        return _damaged(self.path, what)

    def added_tokens(self, special: frozenset[int], *, rstrip: frozenset[int] = frozenset()) -> list[Json]:
        """Tokens that are found in a text before it is cut up: the control tokens, and those that users defined.

        `special` are the kinds that are left out of what a person reads. `rstrip` are the ids of those that take the
        white space behind them.
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
        """What puts the first and the last token around a text that is encoded by itself, where the file wants them.

        A chat template writes its own first token, and its text is encoded without this (`PromptEncoder`).
        """
        before, after = [], []
        if self.flag("add_bos_token", default=adds_bos) and "bos" in self.roles:
            before.append("bos")
        if self.flag("add_eos_token", default=False) and "eos" in self.roles:
            after.append("eos")
        if not before and not after:
            return None
        first, last = ([self._special(role) for role in roles] for roles in (before, after))
        text = {"Sequence": {"id": "A", "type_id": 0}}
        other = {"Sequence": {"id": "B", "type_id": 1}}
        tokens = {self.tokens[self.roles[role]]: self.roles[role] for role in (*before, *after)}
        return {
            "type": "TemplateProcessing",
            "single": [*first, text, *last],
            "pair": [*first, text, *last, *first, other, *last],
            "special_tokens": {
                token: {"id": token, "ids": [token_id], "tokens": [token]} for token, token_id in tokens.items()
            },
        }

    def _special(self, role: str) -> Json:
        return {"SpecialToken": {"id": self.tokens[self.roles[role]], "type_id": 0}}


def vocabulary_of(gguf: GgufFile) -> Vocabulary:
    """The vocabulary of a file.

    Raises:
        ModelLoadingError: it is missing, described incompletely, or larger than the embeddings.
    """
    path = str(gguf.path)
    listed = _list_of(path, gguf.metadata, "tokens", str)
    tokens = [token or f"[EMPTY_{token_id}]" for token_id, token in enumerate(listed)]
    kinds = _list_of(path, gguf.metadata, "token_type", int)
    if len(kinds) != len(tokens) or not set(kinds) <= {*TokenKind}:
        raise _damaged(path, f"{len(kinds)} kinds of tokens for {len(tokens)} tokens, or unknown ones")
    if len(set(tokens)) != len(tokens):
        (twice, _), *_ = Counter(tokens).most_common(1)
        raise _damaged(path, f"the token {twice!r:.80} is there twice")
    embeddings = gguf.tensors.get("token_embd.weight")
    if embeddings is not None and len(tokens) > embeddings.shape[0]:
        raise _damaged(path, f"{len(tokens)} tokens, and embeddings for {embeddings.shape[0]}")
    roles = {}
    for role in _ROLES:
        token_id = gguf.metadata.get(f"tokenizer.ggml.{role}_token_id")
        if token_id is not None:
            if not isinstance(token_id, int) or not 0 <= token_id < len(tokens):
                raise _damaged(path, f"the {role} token is {token_id!r:.40}, of {len(tokens)}")
            roles[role] = token_id
    return Vocabulary(path, tokens, kinds, roles, gguf.metadata)


def _list_of(path: str, metadata: Mapping[str, Any], name: str, of: type[str] | type[float]) -> list[Any]:
    items = metadata.get(f"tokenizer.ggml.{name}")
    if not isinstance(items, list) or not all(isinstance(item, of) for item in items):
        raise _damaged(path, f"tokenizer.ggml.{name} is missing, or no list of {of.__name__}")
    return items


def _damaged(path: str, what: str) -> ModelLoadingError:
    return ModelLoadingError(path, f"the tokenizer's metadata are damaged: {what}")
