"""Converting a GGUF file to a folder in MLX format: config.json, model.safetensors and the tokenizer's files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import Progress, SilentProgress
from pensieve.models.gguf.architectures.registry import layout_of
from pensieve.models.gguf.file import GgufFile, GgufTensor, open_gguf
from pensieve.models.gguf.layout import ModelLayout, TensorTarget
from pensieve.models.gguf.tokenizers.build import tokenizer_files
from pensieve.models.gguf.weights.repack import REPACKINGS
from pensieve.models.gguf.weights.slices import DENSE, DenseSlices, PackedSlices, SourceRows
from pensieve.models.loading.generation_config import FILE_NAME, generation_config_of_gguf
from pensieve.models.safetensors.file import DType, PlannedTensors, TensorSpec, write_safetensors

_CONFIG_DTYPES: Final = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_SILENT: Final = SilentProgress()


def convert_gguf(path: Path, folder: Path, progress: Progress = _SILENT) -> None:
    """Write the model of a GGUF file into `folder`, which must exist and be empty.

    A file that cannot be converted is refused before anything is written. `progress` also reports which matrices are
    requantised because MLX has no exact form for them. Only a few megabytes of weights are in memory at a time.

    Raises:
        ModelLoadingError: the file is damaged, or its architecture, a tensor type or its tokenizer is not supported.
        OSError: the folder cannot be written.
    """
    with open_gguf(path) as gguf:
        plan = _ConversionPlan(gguf, layout_of(gguf))
        files = {"config.json": plan.config(), **tokenizer_files(gguf)}
        if generation_config := generation_config_of_gguf(gguf.metadata):
            files[FILE_NAME] = generation_config
        tensors = plan.tensors()
        for sentence in plan.losses():
            progress.print(sentence)
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        total_bytes = sum(spec.num_bytes for planned in tensors for spec in planned.specs)
        try:
            with progress.track(f"Converting {path.name}", total_bytes) as report:
                write_safetensors(folder / "model.safetensors", tensors, report)
        except ValueError as error:
            raise ModelLoadingError(str(path), f"the weights are damaged: {error}") from error


def planned_model(gguf: GgufFile) -> tuple[dict[str, Any], list[TensorSpec]]:
    """The config.json and the tensors that a conversion would write, from the file's header alone.

    Raises:
        ModelLoadingError: as from `convert_gguf`.
    """
    plan = _ConversionPlan(gguf, layout_of(gguf))
    return plan.config(), [spec for planned in plan.tensors() for spec in planned.specs]


class _ConversionPlan:
    """Which tensor of the file becomes which parameter of the model, and in which data type."""

    def __init__(self, gguf: GgufFile, layout: ModelLayout) -> None:
        self._gguf = gguf
        self._layout = layout
        self._targets = [(gguf.tensors[name], target) for name, targets in layout.targets.items() for target in targets]
        for tensor, _ in self._targets:
            self._require_supported_type(tensor)
        self._dtype = self._dense_dtype()

    def config(self) -> dict[str, Any]:
        config = {**self._layout.config, "dtype": _CONFIG_DTYPES[self._dtype]}
        if quantization := self._quantization():
            config["quantization"] = quantization
        return config

    def tensors(self) -> list[PlannedTensors]:
        return [self._planned(tensor, target) for tensor, target in self._targets]

    def losses(self) -> list[str]:
        """One sentence for each type whose matrices have to be requantised."""
        matrices = Counter(tensor.type_name for tensor, target in self._targets if len(target.shape) > 1)
        return [
            f"{type_name} has no exact form in MLX: {count} of {matrices.total()} matrices are requantised to "
            f"{repacking.bits} bits in groups of {repacking.group_size} (at most {100 * repacking.relative_error:g} % "
            "relative error)."
            for type_name, count in sorted(matrices.items())
            if (repacking := REPACKINGS.get(type_name)) is not None and repacking.relative_error
        ]

    def _planned(self, tensor: GgufTensor, target: TensorTarget) -> PlannedTensors:
        rows = SourceRows(self._gguf, tensor, target)
        if tensor.type_name in DENSE:
            return DenseSlices(rows, self._dtype)
        return PackedSlices(rows, REPACKINGS[tensor.type_name])

    def _quantization(self) -> dict[str, Any]:
        """config.json's entry: the most common settings for all modules, and each exception under its module's name."""
        settings = {
            target.module: (REPACKINGS[tensor.type_name].group_size, REPACKINGS[tensor.type_name].bits)
            for tensor, target in self._targets
            if tensor.type_name in REPACKINGS
        }
        if not settings:
            return {}
        default, _ = Counter(settings.values()).most_common(1)[0]
        exceptions = {module: _affine(*found) for module, found in settings.items() if found != default}
        return {**_affine(*default), **exceptions}

    def _dense_dtype(self) -> DType:
        """One type for all unpacked tensors, so that activations have the same type throughout the model.

        f16 beside packed matrices, whose scales bfloat16 is too coarse for; otherwise the matrices' most common type.
        """
        matrices = [tensor.type_name for tensor, target in self._targets if len(target.shape) > 1]
        if any(type_name in REPACKINGS for type_name in matrices):
            return "F16"
        return DENSE[Counter(matrices).most_common(1)[0][0]]

    def _require_supported_type(self, tensor: GgufTensor) -> None:
        supported = [*DENSE, *REPACKINGS] if len(tensor.shape) > 1 else [*DENSE]
        if tensor.type_name not in supported:
            message = f"tensor {tensor.name!r} has the type {tensor.type_name}; supported are {', '.join(supported)}"
            raise ModelLoadingError(str(self._gguf.path), message)


def _affine(group_size: int, bits: int) -> dict[str, Any]:
    return {"group_size": group_size, "bits": bits, "mode": "affine"}
