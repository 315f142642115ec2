"""Typed access to the metadata of a GGUF file's architecture, with every value checked and no key ignored.

A file may be damaged or malicious, so each value has to be of the right type and within bounds; an error names its key.
An architecture key that is never read could change what the model computes, so it is refused as well.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.file import GgufFile

_MAX_INTEGER: Final = 2**32 - 1
_MIN_FLOAT, _MAX_FLOAT = 1e-30, 1e30
_CONTROL: Final = 3  # in tokenizer.ggml.token_type

_REDUNDANT_KEYS: Final = frozenset({
    "vocab_size",  # the embeddings have it
    "tensor_data_layout",  # "Meta AI original pth", in early files
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",  # architectures that depend on it read it
    "attention.value_length",  # checked through the shapes of the tensors
})  # fmt: skip
_NEUTRAL_VALUES: Final[dict[str, object]] = {
    "expert_count": 0,
    "expert_used_count": 0,
    "attention.causal": True,
    "use_parallel_residual": True,
    "rope.scaling.attn_factor": 1.0,
}
"""Keys that do not change the model as long as they have these values."""


class GgufMetadata:
    """The metadata of one architecture. Keys are given without the architecture's prefix."""

    def __init__(self, gguf: GgufFile, architecture: str) -> None:
        self._gguf = gguf
        self._prefix = f"{architecture}."
        self._read_keys: set[str] = set()

    def integer(self, key: str, default: int | None = None, *, minimum: int = 1) -> int:
        """An integer from `minimum` to 2^32 - 1.

        Raises:
            ModelLoadingError: it is anything else, or missing without a default.
        """
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= _MAX_INTEGER:
            raise self._invalid(key, value, f"an integer of {minimum} or more")
        return value

    def positive_float(self, key: str, default: float | None = None) -> float:
        """A number above 0 that is neither small nor large enough for later arithmetic to overflow.

        Raises:
            ModelLoadingError: it is anything else, or missing without a default.
        """
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _MIN_FLOAT < value < _MAX_FLOAT:
            raise self._invalid(key, value, "a finite number above 0")
        return float(value)

    def string(self, key: str, default: str) -> str:
        """The value of a key, or a `ModelLoadingError` if it is not a string."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self._invalid(key, value, "a string")
        return value

    def has(self, key: str) -> bool:
        return self._prefix + key in self._gguf.metadata

    def has_tensor(self, name: str) -> bool:
        return name in self._gguf.tensors

    def token_id(self, role: str, vocabulary_size: int) -> int | None:
        """The id of the `bos`, `eos`, … token, or None if the file does not have it.

        Raises:
            ModelLoadingError: it is not the id of a token.
        """
        key = f"tokenizer.ggml.{role}_token_id"
        value = self._gguf.metadata.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < vocabulary_size:
            raise self.error(f"metadata {key!r} is {value!r:.40}; it must be a token id below {vocabulary_size}")
        return value

    def control_tokens(self) -> dict[str, int]:
        """Ids by text. Empty if the vocabulary is damaged: `tokenizer_files` reports that with a better message."""
        tokens = self._gguf.metadata.get("tokenizer.ggml.tokens")
        kinds = self._gguf.metadata.get("tokenizer.ggml.token_type")
        if not isinstance(tokens, list) or not isinstance(kinds, list):
            return {}
        pairs = enumerate(zip(tokens, kinds, strict=False))
        return {token: token_id for token_id, (token, kind) in pairs if kind == _CONTROL and isinstance(token, str)}

    def f32_vector(self, name: str, length: int) -> npt.NDArray[np.float32]:
        """A tensor whose values become part of config.json.

        Raises:
            ModelLoadingError: it is missing, has another type or length, or a value that is not finite and above 0.
        """
        tensor = self._gguf.tensors.get(name)
        if tensor is None:
            raise self.error(f"tensor {name!r} is missing")
        if tensor.type_name != "F32" or tensor.shape != (length,):
            found = f"has the type {tensor.type_name} and the shape {tensor.shape}"
            raise self.error(f"tensor {name!r} {found}; F32 and ({length},) are needed")
        values: npt.NDArray[np.float32] = self._gguf.rows(tensor).view("<f4")[0].astype(np.float32)
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise self.error(f"tensor {name!r} must hold finite numbers above 0")
        return values

    def require_all_keys_read(self) -> None:
        """To be called last, when every supported key has been read.

        Raises:
            ModelLoadingError: a key that was not read might change what the model computes.
        """
        for full_key, value in self._gguf.metadata.items():
            if not full_key.startswith(self._prefix):
                continue
            key = full_key.removeprefix(self._prefix)
            is_supported = key in self._read_keys or key in _REDUNDANT_KEYS
            if not is_supported and (key not in _NEUTRAL_VALUES or _NEUTRAL_VALUES[key] != value):
                raise self.error(f"metadata {full_key!r:.80} is {value!r:.40}, which cannot be converted from GGUF")

    def error(self, message: str) -> ModelLoadingError:
        return ModelLoadingError(str(self._gguf.path), message)

    def _value(self, key: str, default: Any) -> Any:
        self._read_keys.add(key)
        return self._gguf.metadata.get(self._prefix + key, default)

    def _invalid(self, key: str, value: object, expected: str) -> ModelLoadingError:
        found = "missing" if value is None else f"{value!r:.40}"
        return self.error(f"metadata {self._prefix + key!r} is {found}; it must be {expected}")
