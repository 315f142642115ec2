"""A model is the same model, or nearly, in every type that GGUF has for its matrices."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
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
from tests.models.gguf.gguf_files import add_byte_tokenizer
from tests.models.gguf.llama_files import (
    DENSE_TYPES,
    QUANTIZED_TYPES,
    Array,
    Made,
    add_tokenizer_of,
    dense_llama,
    dequantized,
    fitting,
    quantized,
    write_llama_of,
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
"""Over that of the F16 file, on `TEXT`. Those that are made of the same blocks follow one another."""
MAX_DIFFERENCE: Final = {"Q8_K": 1e-5, "Q6_K": 0.02, "Q3_K": 0.15, "Q2_K": 0.3}
"""Of logits: the root of its mean square over theirs. Of types that are not named: none."""


def converted(folder: Path, gguf_path: Path) -> LoadedModel:
    made = folder / "made"
    made.mkdir()
    convert_gguf(gguf_path, made)
    return load(ModelFolder(made, "converted", "Converted", "2025-01-01T00:00:00Z"))


@cache
def embedded_weights() -> dict[str, npt.NDArray[np.float16]]:
    """In f16, which is what the first of the files has, so that half a gigabyte is saved."""
    return {name: weight.astype(np.float16) for name, weight in dense_llama(embedded_folder(ConsoleProgress())).items()}


def perplexity(folder: Path, type_name: str, made: Made) -> float:
    """Of the embedded model with all its matrices in a type, as far as llama.cpp would.

    The embeddings are the output's matrix as well, for which it takes Q6_K, or Q8_0 where that does not fit. And it
    does not take Q2_K for all of a kind that suffers most by it: three layers in four have Q3_K there.
    """
    source = embedded_folder(ConsoleProgress())

    def type_of(name: str, shape: tuple[int, ...]) -> str:
        if name == "token_embd.weight" and type_name not in DENSE_TYPES:
            return "Q8_0"
        suffers = type_name == "Q2_K" and int(name.split(".")[1]) % 4
        return fitting("Q3_K" if suffers else type_name, shape[-1])

    write_llama_of(
        folder / "it.gguf", source, embedded_weights(), type_of, partial(add_tokenizer_of, source), made=made
    )
    model = converted(folder, folder / "it.gguf")
    ids = model.tokenizer.encode(TEXT)
    logits = model.model(mx.array([ids]))[0, :-1]
    chosen = mx.take_along_axis(logits, mx.array(ids[1:])[:, None], axis=-1)[:, 0]
    return float(mx.exp(mx.mean(mx.logsumexp(logits, axis=-1) - chosen)))


@pytest.fixture(scope="module")
def perplexity_of_f16(tmp_path_factory: pytest.TempPathFactory) -> Iterator[float]:
    yield perplexity(tmp_path_factory.mktemp("f16"), "F16", {})
    embedded_weights.cache_clear()


@pytest.fixture(scope="module")
def made() -> Made:
    return {}


@pytest.mark.parametrize("type_name", MAX_PERPLEXITY)
def test_the_embedded_model_reads_a_text_nearly_as_well_in_every_type(
    tmp_path: Path, perplexity_of_f16: float, made: Made, type_name: str
) -> None:
    found = perplexity(tmp_path, type_name, made)
    assert 0.9 < found / perplexity_of_f16 < MAX_PERPLEXITY[type_name]
    for path in (tmp_path / "it.gguf", tmp_path / "made" / "model.safetensors"):
        path.unlink()  # pytest keeps folders, and these are large


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny llama all of whose rows are whole blocks of 256."""
    folder = tmp_path_factory.mktemp("wide")
    shape: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64, "vocab_size": 260}
    return write_tiny_model(folder, **shape)


def logits_of(folder: Path, source: Path, weights: dict[str, Array], type_name: str) -> Array:
    folder.mkdir()
    write_llama_of(folder / "it.gguf", source, weights, lambda *_: type_name, add_byte_tokenizer)
    model = converted(folder, folder / "it.gguf")
    tokens = np.random.default_rng(6).integers(0, 260, (1, 64))
    return np.array(model.model(mx.array(tokens))[0])


@pytest.mark.parametrize("type_name", QUANTIZED_TYPES)
def test_all_matrices_in_one_type_compute_what_the_reference_makes_of_them(
    tmp_path: Path, wide_folder: Path, type_name: str
) -> None:
    weights = dense_llama(wide_folder)
    # Rows keep to themselves, so that it is the same whether they are quantised before or after they are interleaved.
    reference = {
        name: weight if weight.ndim == 1 else dequantized(quantized(weight, type_name), type_name)
        for name, weight in weights.items()
    }
    expected = logits_of(tmp_path / "f32", wide_folder, reference, "F32")
    found = logits_of(tmp_path / "packed", wide_folder, weights, type_name)
    difference, size = (np.sqrt(np.square(numbers).mean()) for numbers in (found - expected, expected))
    assert size > 0.1
    assert difference <= MAX_DIFFERENCE.get(type_name, 0) * size


def test_what_is_rounded_is_said_in_a_sentence_and_what_is_not_is_not(tmp_path: Path, wide_folder: Path) -> None:
    def type_of(name: str, _: tuple[int, ...]) -> str:
        return "Q6_K" if "ffn_down" in name else "Q2_K" if "attn_v" in name else "Q4_K"

    write_llama_of(tmp_path / "it.gguf", wide_folder, dense_llama(wide_folder), type_of, add_byte_tokenizer)
    log = io.StringIO()
    (tmp_path / "made").mkdir()
    convert_gguf(tmp_path / "it.gguf", tmp_path / "made", ConsoleProgress(log))
    said = log.getvalue().splitlines()
    assert said[:2] == [
        "Q2_K has no exact form in MLX: 2 of 16 matrices are requantised to 4 bits in groups of 32 (at most 7.5 % "
        "relative error).",
        "Q6_K has no exact form in MLX: 2 of 16 matrices are requantised to 8 bits in groups of 32 (at most 0.5 % "
        "relative error).",
    ]
    assert said[2].startswith("Converting it.gguf: ")
    quantization = json.loads((tmp_path / "made" / "config.json").read_text())["quantization"]
    assert quantization["model.layers.1.mlp.down_proj"] == {"group_size": 32, "bits": 8, "mode": "affine"}
    assert {key: quantization[key] for key in ("group_size", "bits")} == {"group_size": 32, "bits": 4}
