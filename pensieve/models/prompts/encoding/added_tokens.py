"""A tokenizer's added tokens, and how to keep text from spelling one.

A tokenizer matches its added tokens before it splits the rest of a text. They mark turns, calls and thinking, even if
the tokenizer's file does not declare them special, as `<tool_call>` in Qwen's and `<｜User｜>` in DeepSeek's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from copy import deepcopy
from functools import cached_property
from typing import Any, Final

from tokenizers import AddedToken, Tokenizer

from pensieve.models.prompts.encoding.slices import SLICE, find_all

_PREFIX: Final = 2
_SPACE: Final = "\u2581"
"""A space in SentencePiece vocabularies."""
START: Final = "\U0010fffd\U0010fffc\U0010fffd\U0010fffb"
"""An extra token of the literal copy, which stands before any text that does not start the prompt.

Tokenizers treat the start of a text unlike the rest. Its id is removed again, because the model does not have it.
"""


class AddedTokens:
    """The added tokens of one `tokenizers.Tokenizer`, without those of white space, which cannot forge anything."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        tokens = backend.get_added_tokens_decoder()
        self.by_content: dict[str, tuple[int, Any]] = {
            token.content: (token_id, token)
            for token_id, token in tokens.items()
            if token.content.strip().strip(_SPACE)
        }
        contents = sorted(self.by_content, key=len, reverse=True)
        self._longest = max(map(len, contents), default=0)
        self._lengths: dict[str, list[int]] = {}
        for content in contents:
            lengths = self._lengths.setdefault(content[:_PREFIX], [])
            lengths += [] if len(content) in lengths else [len(content)]
        prefixes = sorted(map(re.escape, self._lengths), key=len, reverse=True)
        self._prefixes = re.compile(f"(?=({'|'.join(prefixes)}))") if prefixes else None
        self._starts = frozenset(content[:end] for content in contents for end in range(1, len(content)))
        self._ends = frozenset(content[start:] for content in contents for start in range(1, len(content)))
        self._all = "\0".join(contents)
        self._reads_normalized = backend.normalizer is not None and any(
            token.normalized for _, token in self.by_content.values()
        )

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of each token spelled in a text, the longest at each position. They may overlap."""
        for match in find_all(self._prefixes, text, _PREFIX) if self._prefixes is not None else ():
            start = match.start()
            for length in (*self._lengths.get(match[1], ()), *self._lengths.get(match[1][:-1], ())):
                if text[start : start + length] in self.by_content:
                    yield start, start + length
                    break

    def tokenizer_spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Spans that a tokenizer would match: from the left, without overlaps."""
        last_end = 0
        for start, end in self.spans(text):
            if start >= last_end and not self._is_inside_word(text, start, end):
                yield start, end
                last_end = end

    def with_gaps(self, text: str, gap: str) -> str:
        """Insert gaps so that no token can be matched in the text or across its ends."""
        gaps = {at for start, end in self.spans(text) for at in ((start, end) if end == start + 1 else (start + 1,))}
        if self._has_edge(text, self._starts, at_end=True):
            gaps.add(len(text))
        if (
            self._has_edge(text, self._ends, at_end=False)
            or (len(text) < self._longest and text in self._all)
            or (self._reads_normalized and self._spells_token_once_normalized(text))
        ):
            gaps.add(0)
        cuts = sorted(gaps)
        return gap.join(text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True))

    def _has_edge(self, text: str, edges: frozenset[str], *, at_end: bool) -> bool:
        lengths = range(1, min(len(text), self._longest) + 1)
        return any((text[-length:] if at_end else text[:length]) in edges for length in lengths)

    def _spells_token_once_normalized(self, text: str) -> bool:
        overlap = 4 * self._longest
        for start in range(0, len(text), SLICE):  # normalising holds the interpreter's lock
            part = text[start : start + SLICE + overlap]
            normal = self._backend.normalizer.normalize_str(part)
            if normal != part and any(True for _ in self.spans(normal)):
                return True
        return False

    def _is_inside_word(self, text: str, start: int, end: int) -> bool:
        _, token = self.by_content[text[start:end]]
        beside = text[max(0, start - 1) : start] + text[end : end + 1]
        return bool(token.single_word) and any(character.isalnum() or character == "_" for character in beside)

    @cached_property
    def literal_backend(self) -> Any:
        """A copy of the tokenizer that reads every added token as text, except START and those of white space.

        A copy, because the switch belongs to the tokenizer, which others use. Made on first use.
        """
        copy = _copy_with_same_vocabulary(self._backend) or deepcopy(self._backend)
        copy.add_special_tokens([_as_special(token) for _, token in self.by_content.values()])
        copy.add_tokens([AddedToken(START, normalized=False)])
        copy.encode_special_tokens = True
        return copy


def _copy_with_same_vocabulary(backend: Any) -> Any | None:
    """The tokenizer with added tokens of its own around the same vocabulary, which takes a second and 100 MB to copy.

    None where its added tokens would get other ids.
    """
    copy: Any = Tokenizer(backend.model)
    copy.normalizer, copy.pre_tokenizer, copy.decoder = backend.normalizer, backend.pre_tokenizer, backend.decoder
    if backend.post_processor is not None:
        copy.post_processor = backend.post_processor
    added = dict(sorted(backend.get_added_tokens_decoder().items()))
    copy.add_tokens(list(added.values()))
    found = {token_id: token.content for token_id, token in copy.get_added_tokens_decoder().items()}
    return copy if found == {token_id: token.content for token_id, token in added.items()} else None


def _as_special(token: Any) -> AddedToken:
    kept = {name: getattr(token, name) for name in ("single_word", "lstrip", "rstrip", "normalized")}
    return AddedToken(token.content, special=True, **kept)
