"""The pre-tokenizers that split text before byte-level merges, by their names in GGUF (`tokenizer.ggml.pre`).

A file holds only the name, which llama.cpp defines (llama-vocab.cpp). The definitions here follow the models' own
tokenizer.json where it is known: llama.cpp's regular expressions work around the limits of its engine, and it skips
the NFC normalisation that some models need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PreTokenizerConfig:
    """The parts of tokenizer.json that depend on the pre-tokenizer."""

    pre_tokenizer: Json
    normalizer: Json | None = None
    ignore_merges: bool = False
    """Whether a piece that is in the vocabulary becomes one token without merging."""
    adds_bos: bool = False
    """The default for files without `add_bos_token`."""


def byte_level(*, use_regex: bool) -> Json:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _split(pattern: str) -> Json:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _digits(*, individual: bool) -> Json:
    return {"type": "Digits", "individual_digits": individual}


def _sequence(*steps: Json) -> Json:
    return {"type": "Sequence", "pretokenizers": list(steps)}


def _split_by(*patterns: str) -> Json:
    return _sequence(*map(_split, patterns), byte_level(use_regex=False))


def _words_with_digits(digits: str) -> str:
    """The pattern of GPT-4 and the many models derived from it, which differ in how they group digits."""
    return (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        + digits
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


def _cased_words(ending: str, digits: str) -> str:
    """The pattern of GPT-4o, which also splits words at capitals: `fooBar` into `foo` and `Bar`."""
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    return (
        rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{ending}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{ending}|{digits}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


# Ranges are escaped, since many of their characters look alike.
_CASED_LETTERS: Final = (
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d"
    "\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb"
    "\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4"
    "\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf"
    "\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3"
    "\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
_CJK: Final = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
_WIDE_PUNCTUATION: Final = r"\s?[!-/:-~" + "\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
_KANJI_AND_KANA: Final = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
_DEEPSEEK_3_WORDS: Final = (
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
    r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
_GPT2_WORDS: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_NFC: Final[Json] = {"type": "NFC"}
_GPT_2: Final = PreTokenizerConfig(byte_level(use_regex=True))
_GPT_NEOX: Final = PreTokenizerConfig(byte_level(use_regex=True), _NFC)
_DIGIT_BY_DIGIT: Final = PreTokenizerConfig(_sequence(_digits(individual=True), byte_level(use_regex=True)))
_GPT_4: Final = _split_by(_words_with_digits(r"\p{N}{1,3}"))
_LLAMA_3: Final = PreTokenizerConfig(_GPT_4, ignore_merges=True, adds_bos=True)
_QWEN_2: Final = _split_by(_words_with_digits(r"\p{N}"))

PRE_TOKENIZERS: Final[Mapping[str, PreTokenizerConfig]] = {
    "gpt-2": _GPT_2,
    "phi-2": _GPT_2,
    "olmo": _GPT_NEOX,
    "mpt": _GPT_NEOX,
    "smollm": _DIGIT_BY_DIGIT,
    "starcoder": _DIGIT_BY_DIGIT,
    "refact": _DIGIT_BY_DIGIT,
    "codeshell": _DIGIT_BY_DIGIT,
    "minerva-7b": _DIGIT_BY_DIGIT,
    "command-r": PreTokenizerConfig(_DIGIT_BY_DIGIT.pre_tokenizer, _NFC),
    "llama-bpe": _LLAMA_3,
    "llama3": _LLAMA_3,
    "llama-v3": _LLAMA_3,
    "falcon3": _LLAMA_3,
    "dbrx": PreTokenizerConfig(_GPT_4),
    "smaug-bpe": PreTokenizerConfig(_GPT_4),
    "qwen2": PreTokenizerConfig(_QWEN_2, _NFC),
    "deepseek-r1-qwen": PreTokenizerConfig(_QWEN_2),
    "gpt-4o": PreTokenizerConfig(_split_by(_cased_words(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?", r"\p{N}{1,3}"))),
    "tekken": PreTokenizerConfig(_split_by(_cased_words("", r"\p{N}")), ignore_merges=True, adds_bos=True),
    "deepseek-coder": PreTokenizerConfig(
        _sequence(
            *map(_split, ("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK)),
            _digits(individual=True),
            byte_level(use_regex=False),
        )
    ),
    "deepseek-llm": PreTokenizerConfig(
        _sequence(
            *map(_split, ("[\r\n]", rf"\s?[{_CASED_LETTERS}]+", _WIDE_PUNCTUATION, r"\s+$", _CJK)),
            _digits(individual=True),
            byte_level(use_regex=False),
        )
    ),
    "deepseek-v3": PreTokenizerConfig(_split_by(r"\p{N}{1,3}", _KANJI_AND_KANA, _DEEPSEEK_3_WORDS)),
    "falcon": PreTokenizerConfig(
        _sequence(
            {"type": "Punctuation", "behavior": "Contiguous"},
            byte_level(use_regex=True),
            _digits(individual=False),
            _split("[0-9][0-9][0-9]"),
        )
    ),
    "default": PreTokenizerConfig(_split_by(r"[\p{P}\$\+<=>\^~\|]+", _GPT2_WORDS, r"\p{N}+", "[0-9][0-9][0-9]")),
}
"""`default` is llama.cpp's fallback for unknown models: close to the model's own pre-tokenizer, but maybe not equal."""

DEFAULT_PRE_TOKENIZERS: Final[Mapping[str, str]] = {
    "qwen2": "qwen2",
    "qwen3": "qwen2",
    "phi2": "gpt-2",
    "starcoder2": "starcoder",
}
"""By architecture, for early files without `tokenizer.ggml.pre`. These architectures have only one pre-tokenizer."""
