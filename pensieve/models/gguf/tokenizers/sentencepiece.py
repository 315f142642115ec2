"""SentencePiece's BPE, which Llama 2, Mistral, Gemma and Phi 3 use, as a tokenizer.json.

SentencePiece has scores in place of merges: it repeatedly joins the two neighbours that form the piece with the highest
score. tokenizer.json needs merges, so, as in Hugging Face's own converter, every way to form a piece from two others
becomes a merge, in the order of the scores. Spaces are written as `▁`; a character without a piece becomes the tokens
of its UTF-8 bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from pensieve.models.gguf.tokenizers.pre_tokenizers import Json
from pensieve.models.gguf.tokenizers.vocabulary import TokenKind, Vocabulary

_SPACE: Final = "\u2581"
_MAX_PIECE_CHARACTERS: Final = 1024
"""Bounds the work, since every split of every piece is tried. The longest pieces in use have about 30 characters."""
_SPECIAL_KINDS: Final = frozenset({TokenKind.CONTROL, TokenKind.UNKNOWN})
_MISTRAL_V3_MARK: Final = "[INST]"
"""A control token only in version 3 of Mistral's tokenizer, which Codestral uses too. Its chat templates write the
space after a control token themselves, so the tokenizer adds one only at the start of a text. Llama 2 and Phi 3 rely on
one after each control token. The metadata does not distinguish the two.
"""
_PHI3_WITHOUT_RSTRIP: Final = ("<unk>", "<s>", "<|endoftext|>")


def sentencepiece_tokenizer(vocabulary: Vocabulary, architecture: str) -> Json:
    """The content of tokenizer.json.

    Raises:
        ModelLoadingError: scores are missing or damaged, or the metadata needs an unsupported normalisation.
    """
    if vocabulary.flag("remove_extra_whitespaces", default=False):
        raise vocabulary.damaged("remove_extra_whitespaces is set, which cannot be converted from GGUF")
    if vocabulary.metadata.get("tokenizer.ggml.precompiled_charsmap"):
        raise vocabulary.damaged("precompiled_charsmap is set, which cannot be converted from GGUF")
    has_prefix = vocabulary.flag("add_space_prefix", default=True)
    texts = _token_texts(vocabulary, has_prefix=has_prefix)
    vocabulary = Vocabulary(vocabulary.path, texts, vocabulary.kinds, vocabulary.roles, vocabulary.metadata)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(vocabulary, architecture, has_prefix=has_prefix),
        **_space_handling(has_prefix=has_prefix, only_at_start=_is_control(vocabulary, _MISTRAL_V3_MARK)),
        "post_processor": vocabulary.post_processor(adds_bos=True),
        "decoder": _decoder(has_prefix=has_prefix),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": _unknown_token(vocabulary),
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": TokenKind.BYTE in vocabulary.kinds,
            "ignore_merges": False,
            "vocab": {token: token_id for token_id, token in enumerate(texts)},
            "merges": _merges(vocabulary),
        },
    }


def _added_tokens(vocabulary: Vocabulary, architecture: str, *, has_prefix: bool) -> list[Json]:
    added = vocabulary.added_tokens(_SPECIAL_KINDS, rstrip=_rstrip_tokens(vocabulary, architecture))
    return [{**token, "normalized": not has_prefix and not token["special"]} for token in added]


def _token_texts(vocabulary: Vocabulary, *, has_prefix: bool) -> list[str]:
    """The tokens as `tokenizers` has to match them, with the spaces of user-defined ones as ` ` or as `▁`.

    Files have either form. SentencePiece matches user-defined tokens after it has replaced the spaces of the text. With
    a prefix, `tokenizers` cannot do that, since it would add the prefix to these tokens too: it matches the raw text.
    """
    old, new = (_SPACE, " ") if has_prefix else (" ", _SPACE)
    texts = [
        token.replace(old, new) if kind == TokenKind.USER_DEFINED else token
        for token, kind in zip(vocabulary.tokens, vocabulary.kinds, strict=True)
    ]
    if len(set(texts)) != len(texts):
        raise vocabulary.damaged("two tokens differ only in how they write a space")
    return texts


def _merges(vocabulary: Vocabulary) -> list[list[str]]:
    scores = vocabulary.list_of("scores", float)
    if len(scores) != len(vocabulary.tokens) or any(math.isnan(score) for score in scores):
        raise vocabulary.damaged(f"{len(scores)} scores for {len(vocabulary.tokens)} tokens, or a score that is NaN")
    pieces = {
        token: score
        for token, kind, score in zip(vocabulary.tokens, vocabulary.kinds, scores, strict=True)
        if kind == TokenKind.NORMAL
    }
    longest = max(map(len, pieces), default=0)
    if longest > _MAX_PIECE_CHARACTERS:
        raise vocabulary.damaged(f"a token has {longest} characters; at most {_MAX_PIECE_CHARACTERS} are supported")
    # Among merges with equal scores, the longest left part comes first, as in Hugging Face's converter.
    ordered = sorted(_scored_merges(pieces), key=lambda merge: (-merge[0], -len(merge[1]), -len(merge[2])))
    return [[left, right] for _, left, right in ordered]


def _scored_merges(pieces: Mapping[str, float]) -> Iterator[tuple[float, str, str]]:
    """Every way to form a piece from two others: score, left part, right part."""
    for piece, score in pieces.items():
        for split in range(1, len(piece)):
            left, right = piece[:split], piece[split:]
            if left in pieces and right in pieces:
                yield score, left, right


def _space_handling(*, has_prefix: bool, only_at_start: bool) -> Json:
    replace_spaces = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    if not has_prefix:
        return {"normalizer": replace_spaces, "pre_tokenizer": None}
    if only_at_start:
        metaspace = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "first", "split": False}
        return {"normalizer": None, "pre_tokenizer": metaspace}
    steps = [{"type": "Prepend", "prepend": _SPACE}, replace_spaces]
    return {"normalizer": {"type": "Sequence", "normalizers": steps}, "pre_tokenizer": None}


def _is_control(vocabulary: Vocabulary, token: str) -> bool:
    return token in vocabulary.tokens and vocabulary.kinds[vocabulary.tokens.index(token)] == TokenKind.CONTROL


def _decoder(*, has_prefix: bool) -> Json:
    steps: list[Json] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if has_prefix:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def _unknown_token(vocabulary: Vocabulary) -> str | None:
    if TokenKind.UNKNOWN in vocabulary.kinds:
        return vocabulary.tokens[vocabulary.kinds.index(TokenKind.UNKNOWN)]
    return vocabulary.named("unknown")


def _rstrip_tokens(vocabulary: Vocabulary, architecture: str) -> frozenset[int]:
    """Phi 3's control tokens absorb the line break that its template writes after them; no metadata records this."""
    if architecture != "phi3":
        return frozenset()
    return frozenset(
        token_id
        for token_id, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
        if (kind == TokenKind.CONTROL or token == "</s>") and token not in _PHI3_WITHOUT_RSTRIP  # noqa: S105
    )
