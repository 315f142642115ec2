"""SentencePiece's BPE, as Llama 2, Mistral, Gemma and Phi 3 have it, in the words of tokenizer.json.

SentencePiece joins, again and again, the two neighbours that make the piece with the highest score, and has no list of
merges. tokenizer.json has nothing else, so every way to make a piece of two others becomes a merge, in the order of the
scores: what Hugging Face's own converter does. Spaces are written as `▁`; a character that is no piece becomes the
tokens of its bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from pensieve.models.gguf.tokenizers.pre_tokenizers import Json
from pensieve.models.gguf.tokenizers.vocabulary import TokenKind, Vocabulary

_SPACE: Final = "\u2581"
_LONGEST_PIECE: Final = 1024
"""In characters; the longest in use have some 30. Each place of a piece is tried as a joint."""
_SPECIAL: Final = frozenset({TokenKind.CONTROL, TokenKind.UNKNOWN})
_PREFIX_ONCE: Final = "[INST]"
"""A control token of Mistral's third tokenizer, which Codestral has too. Its templates write the space behind a control
token themselves, so that only the start of a text gets one; Llama 2 and Phi 3 count on one behind each. No key of a
file tells the two apart.
"""
_KEEP_SPACE_BEHIND: Final = ("<unk>", "<s>", "<|endoftext|>")


def sentencepiece_tokenizer(vocabulary: Vocabulary, architecture: str) -> Json:
    """tokenizer.json.

    Raises:
        ModelLoadingError: the vocabulary has no scores or damaged ones, or asks for what is not built.
    """
    if vocabulary.flag("remove_extra_whitespaces", default=False):
        raise vocabulary.damaged("remove_extra_whitespaces is set, which is not built from GGUF")
    if vocabulary.metadata.get("tokenizer.ggml.precompiled_charsmap"):
        raise vocabulary.damaged("precompiled_charsmap is there, which is not built from GGUF")
    has_prefix = vocabulary.flag("add_space_prefix", default=True)
    texts = _texts(vocabulary, has_prefix=has_prefix)
    vocabulary = Vocabulary(vocabulary.path, texts, vocabulary.kinds, vocabulary.roles, vocabulary.metadata)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added_tokens(vocabulary, architecture, has_prefix=has_prefix),
        **_spaces(has_prefix=has_prefix, once=_is_control(vocabulary, _PREFIX_ONCE)),
        "post_processor": vocabulary.post_processor(adds_bos=True),
        "decoder": _decoder(has_prefix=has_prefix),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": _unknown(vocabulary),
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
    added = vocabulary.added_tokens(_SPECIAL, rstrip=_taking_space(vocabulary, architecture))
    return [{**token, "normalized": not has_prefix and not token["special"]} for token in added]


def _texts(vocabulary: Vocabulary, *, has_prefix: bool) -> list[str]:
    """Tokens as they are looked for. Those of users, as a text has them, or as it is once its spaces are rewritten.

    Files have them in either form. SentencePiece looks for the latter, and so can `tokenizers` where no prefix is
    added: it would add one to these tokens too.
    """
    written, wanted = (_SPACE, " ") if has_prefix else (" ", _SPACE)
    texts = [
        token.replace(written, wanted) if kind == TokenKind.USER_DEFINED else token
        for token, kind in zip(vocabulary.tokens, vocabulary.kinds, strict=True)
    ]
    if len(set(texts)) != len(texts):
        raise vocabulary.damaged("two tokens differ only in how they write a space")
    return texts


def _merges(vocabulary: Vocabulary) -> list[list[str]]:
    scores = vocabulary.list_of("scores", float)
    if len(scores) != len(vocabulary.tokens) or any(math.isnan(score) for score in scores):
        raise vocabulary.damaged(f"{len(scores)} scores for {len(vocabulary.tokens)} tokens, or some are no numbers")
    pieces = {
        token: score
        for token, kind, score in zip(vocabulary.tokens, vocabulary.kinds, scores, strict=True)
        if kind == TokenKind.NORMAL
    }
    longest = max(map(len, pieces), default=0)
    if longest > _LONGEST_PIECE:
        raise vocabulary.damaged(f"a token has {longest} characters")
    # Of two ways to make the same piece, the one with the longer left part comes first, as it stands further left.
    ordered = sorted(_joints(pieces), key=lambda joint: (-joint[0], -len(joint[1]), -len(joint[2])))
    return [[left, right] for _, left, right in ordered]


def _joints(pieces: Mapping[str, float]) -> Iterator[tuple[float, str, str]]:
    """Every way to make a piece of two others, with its score."""
    for piece, score in pieces.items():
        for place in range(1, len(piece)):
            left, right = piece[:place], piece[place:]
            if left in pieces and right in pieces:
                yield score, left, right


def _spaces(*, has_prefix: bool, once: bool) -> Json:
    rewrite = {"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}
    if not has_prefix:
        return {"normalizer": rewrite, "pre_tokenizer": None}
    if once:
        metaspace = {"type": "Metaspace", "replacement": _SPACE, "prepend_scheme": "first", "split": False}
        return {"normalizer": None, "pre_tokenizer": metaspace}
    steps = [{"type": "Prepend", "prepend": _SPACE}, rewrite]
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


def _unknown(vocabulary: Vocabulary) -> str | None:
    if TokenKind.UNKNOWN in vocabulary.kinds:
        return vocabulary.tokens[vocabulary.kinds.index(TokenKind.UNKNOWN)]
    return vocabulary.named("unknown")


def _taking_space(vocabulary: Vocabulary, architecture: str) -> frozenset[int]:
    """Phi 3's marks take the line break that its template writes behind them, and no key of the file says so."""
    if architecture != "phi3":
        return frozenset()
    return frozenset(
        token_id
        for token_id, (token, kind) in enumerate(zip(vocabulary.tokens, vocabulary.kinds, strict=True))
        if (kind == TokenKind.CONTROL or token == "</s>") and token not in _KEEP_SPACE_BEHIND  # noqa: S105
    )
