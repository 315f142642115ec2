"""A model computes the same, or nearly the same, from matrices of every GGUF type."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest

from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.gguf.convert import convert_gguf
from pensieve.models.library.embedded import embedded_folder
from pensieve.models.loading.load import LoadedModel, load
from tests.models.gguf.gguf_files import Edit, add_byte_tokenizer
from tests.models.gguf.llama_files import (
    DENSE_TYPES,
    QUANTIZED_TYPES,
    Array,
    QuantizedRows,
    add_tokenizer_of,
    dense_llama,
    dequantized,
    fitting,
    quantized,
    write_llama_from,
)
from tests.support.tiny_model import write_tiny_model

TEXT: Final = (
    "The capital of France is Paris, a city on the river Seine. It has been the country's seat of government for most "
    "of its history, and more than two million people live there. Visitors come to see the Eiffel Tower, which was "
    "built for a world's fair in 1889, and the Louvre, the most visited museum in the world. In the summer the streets "
    "are full of music, and the cafes stay open until late at night. The city is also known for its food: bread, "
    "cheese, wine and small cakes are sold on every corner."
)
MAX_PERPLEXITY: Final = {
    "F32": 1.0001,
    "BF16": 1.01,
    "Q4_1": 1.02,
    "Q4_0": 1.1,
    "Q2_K": 1.6,
    "Q3_K": 1.15,
    "Q5_0": 1.2,
    "Q4_K": 1.2,
    "Q5_1": 1.25,
    "Q5_K": 1.25,
    "Q8_0": 1.01,
    "Q6_K": 1.01,
    "Q8_K": 1.01,
}
"""Relative to the F16 file, on `TEXT`. Types that share quantised rows are next to each other."""
IN_CI: Final = ("F32", "Q4_0", "Q4_K", "Q8_0", "Q6_K")
"""`tox -e gguf` takes them all. Each costs several seconds, and tiny matrices of every type are compared below."""
MAX_DIFFERENCE: Final = {"Q8_K": 1e-5, "Q6_K": 0.02, "Q3_K": 0.15, "Q2_K": 0.3}
"""Root mean square of the logits' difference over that of the logits. Types that are not listed are exact."""


def converted(folder: Path, gguf_path: Path) -> LoadedModel:
    output = folder / "converted"
    output.mkdir()
    convert_gguf(gguf_path, output)
    return load(ModelFolder(output, "converted", "Converted", "2025-01-01T00:00:00Z"))


@cache
def embedded_weights() -> dict[str, npt.NDArray[np.float16]]:
    """In f16, like the first file, which saves half a gigabyte."""
    return {name: weight.astype(np.float16) for name, weight in dense_llama(embedded_folder(ConsoleProgress())).items()}


def perplexity(model: LoadedModel, ids: list[int]) -> float:
    logits = model.model(mx.array([ids]))[0, :-1]
    target_logits = mx.take_along_axis(logits, mx.array(ids[1:])[:, None], axis=-1)[:, 0]
    return float(mx.exp(mx.mean(mx.logsumexp(logits, axis=-1) - target_logits)))


def embedded_in(type_name: str, folder: Path, cache: QuantizedRows, add_tokenizer: Edit) -> LoadedModel:
    """The embedded model with its matrices in one type, with the exceptions that llama.cpp makes.

    The embeddings are also the output matrix, for which llama.cpp uses Q6_K, or Q8_0 if the shape does not fit. And it
    avoids Q2_K for the matrices that lose most by it: three layers in four use Q3_K.
    """

    def type_of(name: str, shape: tuple[int, ...]) -> str:
        if name == "token_embd.weight" and type_name not in DENSE_TYPES:
            return "Q8_0"
        needs_more_bits = type_name == "Q2_K" and int(name.split(".")[1]) % 4
        return fitting("Q3_K" if needs_more_bits else type_name, shape[-1])

    source = embedded_folder(ConsoleProgress())
    write_llama_from(folder / "model.gguf", source, embedded_weights(), type_of, add_tokenizer, cache=cache)
    return converted(folder, folder / "model.gguf")


@dataclass(frozen=True, slots=True)
class Reference:
    """What the F16 file makes of `TEXT`. It alone has the embedded tokenizer, which takes seconds to convert."""

    ids: list[int]
    perplexity: float


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    add_tokenizer = partial(add_tokenizer_of, embedded_folder(ConsoleProgress()))
    model = embedded_in("F16", tmp_path_factory.mktemp("f16"), {}, add_tokenizer)
    ids = model.tokenizer.encode(TEXT)
    yield Reference(ids, perplexity(model, ids))
    embedded_weights.cache_clear()


@pytest.fixture(scope="module")
def quantized_rows() -> QuantizedRows:
    return {}


@pytest.mark.parametrize("type_name", MAX_PERPLEXITY if os.environ.get("PENSIEVE_GGUF_TYPES") == "all" else IN_CI)
def test_every_type_keeps_the_embedded_models_perplexity(
    tmp_path: Path, reference: Reference, quantized_rows: QuantizedRows, type_name: str
) -> None:
    model = embedded_in(type_name, tmp_path, quantized_rows, add_byte_tokenizer)
    assert 0.9 < perplexity(model, reference.ids) / reference.perplexity < MAX_PERPLEXITY[type_name]
    for path in (tmp_path / "model.gguf", tmp_path / "converted" / "model.safetensors"):
        path.unlink()  # pytest keeps temporary folders, and these files are large


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama in which every row is a multiple of 256."""
    folder = tmp_path_factory.mktemp("wide")
    shape: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64, "vocab_size": 260}
    return write_tiny_model(folder, **shape)


def logits_of(folder: Path, source: Path, weights: dict[str, Array], type_name: str) -> Array:
    folder.mkdir()
    write_llama_from(folder / "model.gguf", source, weights, lambda *_: type_name, add_byte_tokenizer)
    model = converted(folder, folder / "model.gguf")
    tokens = np.random.default_rng(6).integers(0, 260, (1, 64))
    return np.array(model.model(mx.array(tokens))[0])


@pytest.mark.parametrize("type_name", QUANTIZED_TYPES)
def test_quantised_matrices_compute_the_same_as_the_reference_implementations(
    tmp_path: Path, wide_folder: Path, type_name: str
) -> None:
    weights = dense_llama(wide_folder)
    # Rows are quantised independently, so quantising before or after interleaving gives the same result.
    reference = {
        name: weight if weight.ndim == 1 else dequantized(quantized(weight, type_name), type_name)
        for name, weight in weights.items()
    }
    expected = logits_of(tmp_path / "f32", wide_folder, reference, "F32")
    found = logits_of(tmp_path / "packed", wide_folder, weights, type_name)
    difference, size = (np.sqrt(np.square(numbers).mean()) for numbers in (found - expected, expected))
    assert size > 0.1
    assert difference <= MAX_DIFFERENCE.get(type_name, 0) * size


def test_only_requantised_types_are_reported(tmp_path: Path, wide_folder: Path) -> None:
    def type_of(name: str, _: tuple[int, ...]) -> str:
        return "Q6_K" if "ffn_down" in name else "Q2_K" if "attn_v" in name else "Q4_K"

    write_llama_from(tmp_path / "model.gguf", wide_folder, dense_llama(wide_folder), type_of, add_byte_tokenizer)
    log = io.StringIO()
    (tmp_path / "converted").mkdir()
    convert_gguf(tmp_path / "model.gguf", tmp_path / "converted", ConsoleProgress(log))
    lines = log.getvalue().splitlines()
    assert lines[:2] == [
        "Q2_K has no exact form in MLX: 2 of 16 matrices are requantised to 4 bits in groups of 32 (at most 7.5 % "
        "relative error).",
        "Q6_K has no exact form in MLX: 2 of 16 matrices are requantised to 8 bits in groups of 32 (at most 0.5 % "
        "relative error).",
    ]
    assert lines[2].startswith("Converting model.gguf: ")
    quantization = json.loads((tmp_path / "converted" / "config.json").read_text())["quantization"]
    assert quantization["model.layers.1.mlp.down_proj"] == {"group_size": 32, "bits": 8, "mode": "affine"}
    assert {key: quantization[key] for key in ("group_size", "bits")} == {"group_size": 32, "bits": 4}
