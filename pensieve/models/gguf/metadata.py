"""What a GGUF file's metadata say of its architecture, each number within bounds, and nothing passed over.

The numbers come from a file that may be damaged or made to do harm, so each is asked for by its kind and refused by its
key. An entry of the architecture that nobody asked for may change what the model computes: it is refused as well.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.file import GgufFile

_LARGEST_INTEGER: Final = 2**32 - 1
_REALS: Final = (1e-30, 1e30)

_SAYS_NOTHING_NEW: Final = frozenset({
    "vocab_size",  # the embeddings have it
    "tensor_data_layout",  # "Meta AI original pth", of early files
    "rope.scaling.finetuned",
    "rope.scaling.original_context_length",  # where it matters, it is asked for
    "attention.value_length",  # held to the tensors' shapes
})  # fmt: skip
_WITHOUT_EFFECT: Final[dict[str, object]] = {
    "expert_count": 0,
    "expert_used_count": 0,
    "attention.causal": True,
    "use_parallel_residual": True,
    "rope.scaling.attn_factor": 1.0,
}
"""Entries that are known with one value only."""


class ModelMetadata:
    """The metadata under the architecture's own name. Keys are given without it."""

    def __init__(self, gguf: GgufFile, architecture: str) -> None:
        self._gguf = gguf
        self._prefix = f"{architecture}."
        self._asked: set[str] = set()

    def integer(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A number from `least` to 2^32 - 1.

        Raises:
            ModelLoadingError: it is none, or missing without a default.
        """
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST_INTEGER:
            wanted = f"a number over {least - 1}" if least == 1 else f"a number from {least} on"
            raise self._unfit(key, value, wanted)
        return value

    def real(self, key: str, default: float | None = None) -> float:
        """A number over 0, neither so small nor so large that computing with it would end in infinity.

        Raises:
            ModelLoadingError: it is none, or missing without a default.
        """
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not _REALS[0] < value < _REALS[1]:
            raise self._unfit(key, value, "a number over 0")
        return float(value)

    def text(self, key: str, default: str) -> str:
        """Some words.

        Raises:
            ModelLoadingError: it is something else.
        """
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self._unfit(key, value, "a name")
        return value

    def has(self, key: str) -> bool:
        return self._prefix + key in self._gguf.metadata

    def has_tensor(self, name: str) -> bool:
        return name in self._gguf.tensors

    def token_id(self, role: str, vocabulary: int) -> int | None:
        """The token of a role, if the file names one.

        Raises:
            ModelLoadingError: it is no token of the vocabulary.
        """
        key = f"tokenizer.ggml.{role}_token_id"
        value = self._gguf.metadata.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < vocabulary:
            raise self.error(f"metadata {key!r} is {value!r:.40}, which is none of the {vocabulary} tokens")
        return value

    def control_tokens(self) -> dict[str, int]:
        """Control tokens of the vocabulary by their text. Whoever builds the tokenizer checks its lists."""
        tokens = self._gguf.metadata.get("tokenizer.ggml.tokens")
        kinds = self._gguf.metadata.get("tokenizer.ggml.token_type")
        if not isinstance(tokens, list) or not isinstance(kinds, list):
            return {}
        pairs = enumerate(zip(tokens, kinds, strict=False))
        return {token: number for number, (token, kind) in pairs if kind == 3 and isinstance(token, str)}

    def vector(self, name: str, length: int) -> npt.NDArray[np.float32]:
        """A tensor of f32 whose numbers become part of the configuration.

        Raises:
            ModelLoadingError: it is missing, of another type or length, or holds what is no number over 0.
        """
        tensor = self._gguf.tensors.get(name)
        if tensor is None:
            raise self.error(f"tensor {name!r} is missing")
        if tensor.type_name != "F32" or tensor.shape != (length,):
            raise self.error(f"tensor {name!r} is {tensor.type_name} {tensor.shape}, where F32 ({length},) is needed")
        values: npt.NDArray[np.float32] = self._gguf.rows(tensor).view("<f4")[0].astype(np.float32)
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise self.error(f"tensor {name!r} holds what is no number over 0")
        return values

    def require_all_known(self) -> None:
        """To be called when everything that is understood has been asked for.

        Raises:
            ModelLoadingError: there is an entry that nobody asked for, and that might change the model.
        """
        for key, value in self._gguf.metadata.items():
            if not key.startswith(self._prefix):
                continue
            part = key.removeprefix(self._prefix)
            known = part in self._asked or part in _SAYS_NOTHING_NEW
            if not known and (part not in _WITHOUT_EFFECT or _WITHOUT_EFFECT[part] != value):
                raise self.error(f"metadata {key!r:.80} is {value!r:.40}, which is not converted from GGUF")

    def error(self, message: str) -> ModelLoadingError:
        return ModelLoadingError(str(self._gguf.path), message)

    def _value(self, key: str, default: Any) -> Any:
        self._asked.add(key)
        return self._gguf.metadata.get(self._prefix + key, default)

    def _unfit(self, key: str, value: object, wanted: str) -> ModelLoadingError:
        return self.error(f"metadata {self._prefix + key!r} is {value!r:.40}, where {wanted} is needed")
