"""A converted model equals the one in the GGUF file, and a refused conversion leaves no files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest
from gguf import GGMLQuantizationType as GgmlType
from tokenizers import Tokenizer

from contracts.values.vocabulary import Sampling
from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.progress import SilentProgress
from pensieve.models.gguf.convert import convert_gguf
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.generation_config import read_generation_config
from pensieve.models.loading.load import load
from tests.models.gguf.gguf_files import CONTROL_TOKENS, HIDDEN, INNER, VOCABULARY, write_llama


def converted(folder: Path, **options: Any) -> tuple[Path, dict[str, npt.NDArray[np.float32]]]:
    expected = write_llama(folder / "source.gguf", **options)
    output = folder / "converted"
    output.mkdir()
    convert_gguf(folder / "source.gguf", output)
    return output, expected


def add_unknown_type(writer: gguf.GGUFWriter) -> None:
    writer.add_tensor("blk.0.ffn_up.weight", np.zeros((INNER, HIDDEN // 32 * 18), np.uint8), raw_dtype=GgmlType.IQ4_NL)


def dense(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The folder's weights by module, dequantised to f32 by MLX with the settings in config.json."""
    arrays = mx.load(str(folder / "model.safetensors"))
    assert isinstance(arrays, dict)
    quantization = json.loads((folder / "config.json").read_text()).get("quantization", {})
    weights = {}
    for name in (name for name in arrays if name.endswith(".weight")):
        module = name.removesuffix(".weight")
        if f"{module}.scales" in arrays:
            settings = quantization.get(module, quantization)
            scales, biases = (arrays[f"{module}.{part}"].astype(mx.float32) for part in ("scales", "biases"))
            weight = mx.dequantize(arrays[name], scales, biases, settings["group_size"], settings["bits"])
        else:
            weight = arrays[name].astype(mx.float32)
        weights[module] = np.array(weight)
    return weights


def test_recommended_sampling_settings_are_kept(tmp_path: Path) -> None:
    sampling = {"temp": 0.6, "top_p": 0.95, "top_k": 20, "penalty_repeat": 1.05}
    folder, _ = converted(tmp_path, metadata={f"general.sampling.{key}": value for key, value in sampling.items()})
    found = read_generation_config(folder)
    assert (found.sampling, found.problem) == (Sampling(0.6, 0.95, 20, None, 1.05), "")


def test_a_file_without_recommended_sampling_gets_no_generation_config(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path)
    assert not (folder / "generation_config.json").exists()


@pytest.mark.parametrize("kind", [GgmlType.F16, GgmlType.BF16, GgmlType.F32])
def test_dense_matrices_are_bit_identical_and_in_mlx_lms_row_order(tmp_path: Path, kind: GgmlType) -> None:
    folder, expected = converted(tmp_path, kind=kind)
    weights = dense(folder)
    assert weights.keys() == expected.keys()
    for module, weight in expected.items():
        if weight.ndim > 1:
            assert np.array_equal(weights[module], weight), module
        else:
            np.testing.assert_allclose(weights[module], weight, rtol=2**-8 if kind is GgmlType.BF16 else 2**-11)


@pytest.mark.parametrize("kind", [GgmlType.Q4_0, GgmlType.Q4_1, GgmlType.Q5_0, GgmlType.Q5_1, GgmlType.Q8_0])
def test_quantised_matrices_are_bit_identical_and_in_mlx_lms_row_order(tmp_path: Path, kind: GgmlType) -> None:
    kinds = {
        "token_embd.weight": GgmlType.Q8_0,
        "blk.1.ffn_up.weight": GgmlType.F16,
        "blk.0.ffn_up.weight": GgmlType.BF16,
    }
    folder, expected = converted(tmp_path, kind=kind, kinds=kinds)
    for module, weight in dense(folder).items():
        tolerance = 0 if expected[module].ndim > 1 else 2**-11  # norms go from f32 to f16
        np.testing.assert_allclose(weight, expected[module], rtol=tolerance, atol=0)


def test_a_converted_folder_loads(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, kind=GgmlType.Q4_0, kinds={"token_embd.weight": GgmlType.Q8_0})
    model = load(resolve(str(folder), progress=SilentProgress()))
    assert model.context_window_tokens == 512
    assert model.vocabulary_size == VOCABULARY
    assert model.eos_token_ids == {2}


def test_the_tokenizer_splits_text_into_the_tokens_of_the_file(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("x a12<|im_end|>").tokens == ["x", "Ġa", "1", "2", "<|im_end|>"]
    assert tokenizer.decode(tokenizer.encode("é a<|im_end|>").ids) == "é a"


def test_separate_output_weights_are_kept(tmp_path: Path) -> None:
    output = np.random.default_rng(3).standard_normal((VOCABULARY, HIDDEN)).astype(np.float16)

    def add_output(writer: gguf.GGUFWriter) -> None:
        writer.add_tensor("output.weight", output)

    folder, _ = converted(tmp_path, edit=add_output)
    assert np.array_equal(dense(folder)["lm_head"], output.astype(np.float32))
    assert json.loads((folder / "config.json").read_text())["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "mamba"}, "the architecture 'mamba' cannot be converted"),
        ({"omit": ("blk.0.ffn_up.weight",), "edit": add_unknown_type}, "has the type IQ4_NL; supported are F32"),
        ({"metadata": {"llama.rope.scaling.type": "longrope"}}, "RoPE scaling of type 'longrope'"),
        ({"metadata": {"llama.rope.dimension_count": 8}}, "partial rotary embeddings"),
        ({"metadata": {"llama.block_count": 1}}, "'blk.1.* is not part of a plain llama model"),
        ({"metadata": {"llama.block_count": 2**31}}, "2147483648 layers do not fit"),
        ({"metadata": {"llama.block_count": None}}, "'llama.block_count' is missing"),
        ({"metadata": {"llama.attention.head_count": 0}}, "'llama.attention.head_count' is 0"),
        ({"metadata": {"llama.attention.head_count_kv": [2, 2]}}, "head_count_kv' is \\[2, 2\\]"),
        ({"metadata": {"llama.feed_forward_length": 128}}, "has the shape .* but the metadata implies"),
        ({"omit": ("blk.1.ffn_up.weight",)}, "'blk.1.ffn_up.weight' is missing"),
        ({"omit": ("token_embd.weight",)}, "'token_embd.weight' is missing"),
        ({"metadata": {"tokenizer.ggml.model": "bert"}}, "tokenizer.ggml.model is 'bert'"),
        ({"metadata": {"tokenizer.ggml.pre": "strange"}}, "tokenizer.ggml.pre is 'strange'"),
        ({"metadata": {"tokenizer.ggml.merges": None}}, "the tokenizer's metadata is damaged"),
        ({"metadata": {"tokenizer.ggml.token_type": [1]}}, "the tokenizer's metadata is damaged"),
    ],
)
def test_what_is_unsupported_is_refused_by_name(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelLoadingError, match=message) as caught:
        converted(tmp_path, **options)
    assert str(tmp_path / "source.gguf") in str(caught.value)
    assert not list((tmp_path / "converted").iterdir())


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    def add_output(writer: gguf.GGUFWriter) -> None:
        writer.add_tensor("output.weight", np.full((VOCABULARY, HIDDEN), np.inf, np.float32))

    with pytest.raises(ModelLoadingError, match=r"output\.weight holds a number that is not finite in F16"):
        converted(tmp_path, edit=add_output)


def test_control_tokens_are_special(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path)
    added = Tokenizer.from_file(str(folder / "tokenizer.json")).get_added_tokens_decoder()
    assert {token.content for token in added.values() if token.special} == set(CONTROL_TOKENS)
