"""A GGUF file as a model folder of mlx-lm's form: config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import Progress, SilentProgress
from pensieve.models.gguf.architectures.registry import layout_of
from pensieve.models.gguf.file import GgufFile, GgufTensor, open_gguf
from pensieve.models.gguf.place import Layout, Place
from pensieve.models.gguf.tokenizers.build import tokenizer_files
from pensieve.models.gguf.weights.repack import REPACKINGS
from pensieve.models.gguf.weights.slices import DENSE, DenseSlices, PackedSlices, StoredRows
from pensieve.models.loading.generation_config import FILE_NAME, generation_config_of_gguf
from pensieve.models.safetensors.file import DType, PlannedTensors, TensorSpec, write_safetensors

_CONFIG_DTYPES: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_NOBODY: Final = SilentProgress()


def convert_gguf(path: Path, folder: Path, progress: Progress = _NOBODY) -> None:
    """Write `folder`, which exists and is empty, from a GGUF file. What cannot be converted is refused before writing.

    A few megabytes of weights are in memory at a time. What was rounded, because MLX has no form for it, is said.

    Raises:
        ModelLoadingError: the file is damaged, or of an architecture, type or tokenizer that is not converted.
        OSError: the folder cannot be written.
    """
    with open_gguf(path) as gguf:
        weights = _Weights(gguf, layout_of(gguf))
        files = {"config.json": weights.config(), **tokenizer_files(gguf)}
        if recommended := generation_config_of_gguf(gguf.metadata):
            files[FILE_NAME] = recommended
        planned = weights.planned()
        for sentence in weights.losses():
            progress.print(sentence)
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        total_bytes = sum(spec.num_bytes for part in planned for spec in part.specs)
        try:
            with progress.track(f"Converting {path.name}", total_bytes) as report:
                write_safetensors(folder / "model.safetensors", planned, report)
        except ValueError as error:
            raise ModelLoadingError(str(path), f"the weights are damaged: {error}") from error


def planned_model(gguf: GgufFile) -> tuple[dict[str, Any], list[TensorSpec]]:
    """config.json and the tensors that a conversion would write, from the file's head alone.

    Raises:
        ModelLoadingError: as `convert_gguf` refuses it.
    """
    weights = _Weights(gguf, layout_of(gguf))
    return weights.config(), [spec for part in weights.planned() for spec in part.specs]


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

    def planned(self) -> list[PlannedTensors]:
        return [self._plan(tensor, place) for tensor, place in self._placed]

    def losses(self) -> list[str]:
        """A sentence about each type whose matrices could not be carried over as they are."""
        matrices = Counter(tensor.type_name for tensor, place in self._placed if len(place.shape) > 1)
        return [
            f"{type_name} has no exact form in MLX: {count} of {matrices.total()} matrices are requantised to "
            f"{repacking.bits} bits in groups of {repacking.group_size} (at most {100 * repacking.relative_error:g} % "
            "relative error)."
            for type_name, count in sorted(matrices.items())
            if (repacking := REPACKINGS.get(type_name)) is not None and repacking.relative_error
        ]

    def _plan(self, tensor: GgufTensor, place: Place) -> PlannedTensors:
        rows = StoredRows(self._gguf, tensor, place)
        if tensor.type_name in DENSE:
            return DenseSlices(rows, self._dtype)
        return PackedSlices(rows, REPACKINGS[tensor.type_name])

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

        f16 beside packed matrices, since bfloat16 is too narrow for their scales; else the commonest of the matrices'.
        """
        matrices = [tensor.type_name for tensor, place in self._placed if len(place.shape) > 1]
        if any(type_name in REPACKINGS for type_name in matrices):
            return "F16"
        return DENSE[Counter(matrices).most_common(1)[0][0]]

    def _require_known_type(self, tensor: GgufTensor) -> None:
        known = [*DENSE, *REPACKINGS] if len(tensor.shape) > 1 else [*DENSE]
        if tensor.type_name not in known:
            types = f"{tensor.type_name}; converted are {', '.join(known)}"
            raise ModelLoadingError(str(self._gguf.path), f"tensor {tensor.name!r} is of the type {types}")


def _form(group_size: int, bits: int) -> dict[str, Any]:
    return {"group_size": group_size, "bits": bits, "mode": "affine"}
