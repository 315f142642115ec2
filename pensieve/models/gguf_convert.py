"""A GGUF file as a model folder of mlx-lm's form: config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf_architectures import layout_of
from pensieve.models.gguf_file import GgufFile, GgufTensor, open_gguf
from pensieve.models.gguf_place import Layout, Place
from pensieve.models.gguf_repack import REPACKINGS, Affine
from pensieve.models.gguf_tokenizer import tokenizer_files
from pensieve.models.safetensors_file import DType, PlannedTensor, write_safetensors

_DENSE: Final[dict[str, DType]] = {"F32": "F32", "F16": "F16", "BF16": "BF16"}
_CONFIG_DTYPES: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


def convert_gguf(path: Path, folder: Path) -> None:
    """Write `folder`, which exists and is empty, from a GGUF file. What cannot be converted is refused before writing.

    Raises:
        ModelLoadingError: the file is damaged, or of an architecture, type or tokenizer that is not converted.
        OSError: the folder cannot be written.
    """
    with open_gguf(path) as gguf:
        weights = _Weights(gguf, layout_of(gguf))
        files = {"config.json": weights.config(), **tokenizer_files(gguf)}
        tensors = weights.planned_tensors()
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        try:
            write_safetensors(folder / "model.safetensors", tensors)
        except ValueError as error:
            raise ModelLoadingError(str(path), f"the weights are damaged: {error}") from error


def planned_model(gguf: GgufFile) -> tuple[dict[str, Any], list[PlannedTensor]]:
    """config.json and the tensors that a conversion would write, from the file's head alone.

    Raises:
        ModelLoadingError: as `convert_gguf` refuses it.
    """
    weights = _Weights(gguf, layout_of(gguf))
    return weights.config(), weights.planned_tensors()


class _Weights:
    """The tensors of a file, each with its place, and the forms that they take there."""

    def __init__(self, gguf: GgufFile, layout: Layout) -> None:
        self._gguf = gguf
        self._layout = layout
        self._placed = [(gguf.tensors[name], place) for name, places in layout.places.items() for place in places]
        for tensor, _ in self._placed:
            self._require_known_type(tensor)
        self._dtype = self._dense_dtype()

    def config(self) -> dict[str, Any]:
        config = {**self._layout.config(), "dtype": _CONFIG_DTYPES[self._dtype]}
        if quantization := self._quantization():
            config["quantization"] = quantization
        return config

    def planned_tensors(self) -> list[PlannedTensor]:
        return [planned for tensor, place in self._placed for planned in self._plan(tensor, place)]

    def _plan(self, tensor: GgufTensor, place: Place) -> list[PlannedTensor]:
        if tensor.type_name in _DENSE:
            make = partial(self._dense, tensor, place)
            return [PlannedTensor(f"{place.module}.weight", self._dtype, tensor.shape, make)]
        repacking = REPACKINGS[tensor.type_name]
        rows, columns = tensor.shape
        parameters: DType = "F16" if repacking.parameters == np.float16 else "F32"
        groups = (rows, columns // repacking.group_size)
        affine = _Once(lambda: repacking.repack(self._rows(tensor, place)))
        return [
            PlannedTensor(
                f"{place.module}.weight", "U32", (rows, columns * repacking.bits // 32), partial(affine.part, "codes")
            ),
            PlannedTensor(f"{place.module}.scales", parameters, groups, partial(affine.part, "scales")),
            PlannedTensor(f"{place.module}.biases", parameters, groups, partial(affine.part, "biases")),
        ]

    def _dense(self, tensor: GgufTensor, place: Place) -> npt.NDArray[Any]:
        rows = np.ascontiguousarray(self._rows(tensor, place))
        return _cast(rows, _DENSE[tensor.type_name], self._dtype, tensor.name)

    def _rows(self, tensor: GgufTensor, place: Place) -> npt.NDArray[np.uint8]:
        """The stored rows, in the order of mlx-lm's model. Blocks lie along a row, so whole rows can be moved."""
        rows = self._gguf.rows(tensor)
        if place.interleaved_heads is None:
            return rows
        order = np.arange(len(rows)).reshape(place.interleaved_heads, -1, 2).swapaxes(1, 2).reshape(-1)
        return rows[order]

    def _quantization(self) -> dict[str, Any]:
        """config.json's entry: the commonest form for all, and each module that differs by its own name."""
        forms = {
            place.module: (REPACKINGS[tensor.type_name].group_size, REPACKINGS[tensor.type_name].bits)
            for tensor, place in self._placed
            if tensor.type_name in REPACKINGS
        }
        if not forms:
            return {}
        commonest, _ = Counter(forms.values()).most_common(1)[0]
        exceptions = {module: _form(*form) for module, form in forms.items() if form != commonest}
        return {**_form(*commonest), **exceptions}

    def _dense_dtype(self) -> DType:
        """The type of everything unpacked, so that activations are of one type throughout.

        f16 beside packed matrices, whose scales are f16 as well; else the commonest of the matrices' own.
        """
        matrices = [tensor.type_name for tensor, place in self._placed if len(place.shape) > 1]
        if any(type_name in REPACKINGS for type_name in matrices):
            return "F16"
        return _DENSE[Counter(matrices).most_common(1)[0][0]]

    def _require_known_type(self, tensor: GgufTensor) -> None:
        known = [*_DENSE, *REPACKINGS] if len(tensor.shape) > 1 else [*_DENSE]
        if tensor.type_name not in known:
            types = f"{tensor.type_name}; converted are {', '.join(known)}"
            raise ModelLoadingError(str(self._gguf.path), f"tensor {tensor.name!r} is of the type {types}")


class _Once:
    """A matrix whose three parts are written one after another, repacked when the first is asked for."""

    def __init__(self, make: Callable[[], Affine]) -> None:
        self._make = make
        self._parts: dict[str, npt.NDArray[Any]] = {}

    def part(self, name: Literal["codes", "scales", "biases"]) -> npt.NDArray[Any]:
        if not self._parts:
            self._parts = self._make()._asdict()
        return self._parts.pop(name)


def _form(group_size: int, bits: int) -> dict[str, Any]:
    return {"group_size": group_size, "bits": bits, "mode": "affine"}


def _cast(rows: npt.NDArray[np.uint8], stored: DType, wanted: DType, name: str) -> npt.NDArray[Any]:
    """Raw rows of one dense type as another. bfloat16 is the upper half of a float32, rounded to even.

    Raises:
        ValueError: a number does not fit, or is none.
    """
    if stored == wanted:
        return rows
    if stored == "BF16":
        values = (rows.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        values = rows.view("<f2" if stored == "F16" else "<f4").astype(np.float32)
    with np.errstate(over="ignore"):
        cast = values.astype(np.float16 if wanted == "F16" else np.float32)
    if not np.isfinite(cast).all():
        raise ValueError(f"{name} holds what is no number of the type {wanted}")
    if wanted == "BF16":
        bits = values.view(np.uint32)
        return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    return cast
