"""The tokenizer that a GGUF file describes in its metadata, as Hugging Face's tokenizer.json and tokenizer_config.json.

Byte-level BPE only. The metadata hold the vocabulary and the merges, and merely name how text is cut up before them
(`tokenizer.ggml.pre`); the patterns below belong to those names (llama.cpp's llama-vocab.cpp).
"""

from __future__ import annotations

from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf_file import GgufFile

_CONTROL, _USER_DEFINED = 3, 4  # tokenizer.ggml.token_type


def _byte_level(*, use_regex: bool) -> dict[str, object]:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _split_then_bytes(digits: str) -> dict[str, object]:
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        + digits
        + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, _byte_level(use_regex=False)]}


_DIGIT_BY_DIGIT: Final[dict[str, object]] = {
    "type": "Sequence",
    "pretokenizers": [{"type": "Digits", "individual_digits": True}, _byte_level(use_regex=True)],
}
_PRE_TOKENIZERS: Final[dict[str, dict[str, object]]] = {
    "gpt-2": _byte_level(use_regex=True),
    "smollm": _DIGIT_BY_DIGIT,
    "llama-bpe": _split_then_bytes(r"\p{N}{1,3}"),
    "qwen2": _split_then_bytes(r"\p{N}"),
}


def tokenizer_files(gguf: GgufFile) -> dict[str, dict[str, Any]]:
    """The JSON objects of tokenizer.json and tokenizer_config.json, by file name.

    Raises:
        ModelLoadingError: the tokenizer is of a kind that cannot be built, or described incompletely.
    """
    try:
        return _Tokenizer(gguf).files()
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise ModelLoadingError(str(gguf.path), f"the tokenizer's metadata are damaged: {error!r:.120}") from error


class _Tokenizer:
    def __init__(self, gguf: GgufFile) -> None:
        self._metadata: dict[str, Any] = dict(gguf.metadata)
        self._path = str(gguf.path)
        self._tokens: list[str] = self._field("tokens")
        self._pre: str = self._field("pre", "gpt-2")

    def files(self) -> dict[str, dict[str, Any]]:
        kind = self._field("model")
        if kind != "gpt2":
            raise ModelLoadingError(self._path, f"its tokenizer is of the kind {kind!r:.40}; only 'gpt2' can be built")
        if self._pre not in _PRE_TOKENIZERS:
            known = ", ".join(_PRE_TOKENIZERS)
            raise ModelLoadingError(self._path, f"its tokenizer cuts text by {self._pre!r:.40}; known are {known}")
        return {"tokenizer.json": self._tokenizer(), "tokenizer_config.json": self._config()}

    def _field(self, name: str, default: Any = None) -> Any:
        key = f"tokenizer.ggml.{name}"
        return self._metadata[key] if default is None else self._metadata.get(key, default)

    def _tokenizer(self) -> dict[str, Any]:
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": self._added_tokens(),
            "normalizer": {"type": "NFC"} if self._pre == "qwen2" else None,
            "pre_tokenizer": _PRE_TOKENIZERS[self._pre],
            "post_processor": None,
            "decoder": _byte_level(use_regex=True),
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": self._pre == "llama-bpe",
                "vocab": {token: token_id for token_id, token in enumerate(self._tokens)},
                "merges": [merge.split(" ", 1) for merge in self._field("merges")],
            },
        }

    def _added_tokens(self) -> list[dict[str, object]]:
        kinds = self._field("token_type")
        return [
            {
                "id": token_id,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": kinds[token_id] == _CONTROL,
            }
            for token_id, token in enumerate(self._tokens)
            if kinds[token_id] in (_CONTROL, _USER_DEFINED)
        ]

    def _config(self) -> dict[str, Any]:
        architecture = self._metadata["general.architecture"]
        config = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_max_length": self._metadata[f"{architecture}.context_length"],
            "bos_token": self._named_token("bos"),
            "eos_token": self._named_token("eos"),
            "unk_token": self._named_token("unknown"),
            "pad_token": self._named_token("padding"),
            "chat_template": self._metadata.get("tokenizer.chat_template"),
        }
        return {key: value for key, value in config.items() if value is not None}

    def _named_token(self, role: str) -> str | None:
        token_id = self._metadata.get(f"tokenizer.ggml.{role}_token_id")
        return None if token_id is None else self._tokens[token_id]
