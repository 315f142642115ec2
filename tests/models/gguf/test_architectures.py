"""A converted file computes what mlx-lm's model of the same weights computes; what it cannot be is refused by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import mlx.core as mx
import numpy as np
import pytest
from gguf import GGMLQuantizationType as GgmlType
from hypothesis import given, settings
from hypothesis import strategies as st

from pensieve.core.errors import ModelLoadingError
from pensieve.models.gguf.architectures.registry import layout_of
from pensieve.models.gguf.convert import convert_gguf
from pensieve.models.gguf.file import open_gguf
from pensieve.models.gguf.tokenizers.build import tokenizer_files
from tests.models.gguf.architecture_cases import CASES, Weights, llama3_freqs, original, write_gguf
from tests.models.gguf.gguf_files import HIDDEN, LAYERS

Edit = Callable[[gguf.GGUFWriter, Weights], None]

TOKENS = np.random.default_rng(5).integers(0, 259, (1, 40))


def converted(folder: Path, name: str, edit: Edit | None = None) -> tuple[Path, Any]:
    """The folder that a case's file becomes, and the model that it was made of."""
    model = original(CASES[name])
    write_gguf(folder / "source.gguf", CASES[name], model, edit)
    made = folder / "made"
    made.mkdir()
    convert_gguf(folder / "source.gguf", made)
    return made, model


@pytest.mark.parametrize("name", CASES)
def test_the_converted_model_computes_what_the_original_does(tmp_path: Path, name: str) -> None:
    from mlx_lm.utils import load_model  # noqa: PLC0415 - `original` imports mlx-lm first, in the one way

    folder, model = converted(tmp_path, name)
    loaded, _ = load_model(folder)
    expected, found = (np.array(each(mx.array(TOKENS)).astype(mx.float32)) for each in (model, loaded))
    assert np.abs(expected).max() > 0.5
    # Gemma's norms lose the last bit of what one was added to and taken off again.
    tolerance = 1e-4 if "gemma" in name else 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma", "phi2", "phi3"])
def test_packed_rows_go_where_dense_ones_do(tmp_path: Path, name: str) -> None:
    from mlx_lm.utils import load_model  # noqa: PLC0415

    model = original(CASES[name])
    write_gguf(tmp_path / "source.gguf", CASES[name], model, packed=GgmlType.Q8_0)
    (tmp_path / "made").mkdir()
    convert_gguf(tmp_path / "source.gguf", tmp_path / "made")
    loaded, _ = load_model(tmp_path / "made")
    expected, found = (np.array(each(mx.array(TOKENS)).astype(mx.float32)) for each in (model, loaded))
    # Eight bits and f16 against f32: a hundredth or two. Rows in a wrong place are off by as much as the numbers are.
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def config_of(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())


def test_an_answer_ends_where_the_vocabulary_says_that_a_turn_does(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "phi3", setting("tokenizer.ggml.eos_token_id", 0))
    assert config_of(folder)["eos_token_id"] == [0, 2]  # <|endoftext|> by the file, <|im_end|> by its text


def test_the_end_of_a_turn_that_the_file_names_is_the_only_one(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "llama")
    assert config_of(folder)["eos_token_id"] == [2]


def test_the_whole_window_of_a_file_is_kept(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "gemma3")
    config = config_of(folder)
    assert (config["max_position_embeddings"], config["sliding_window"]) == (512, 8)


def test_the_window_of_mistral_is_kept_though_it_is_not_used(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "llama", setting("llama.attention.sliding_window", 128))
    config = config_of(folder)
    assert (config["max_position_embeddings"], config["sliding_window"]) == (512, 128)
    assert "layer_types" not in config


def replace(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """Metadata of the writer, with the type that the entry had."""
    entries = writer.kv_data[0]
    entries[key] = gguf.GGUFValue(value, entries[key].type, entries[key].sub_type)


def setting(key: str, value: Any) -> Edit:
    def edit(writer: gguf.GGUFWriter, tensors: Weights) -> None:
        if key in writer.kv_data[0]:
            replace(writer, key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_uint32(key, value)

    return edit


def without_entry(key: str) -> Edit:
    def edit(writer: gguf.GGUFWriter, _: Weights) -> None:
        del writer.kv_data[0][key]

    return edit


def without(*names: str) -> Edit:
    def edit(writer: gguf.GGUFWriter, tensors: Weights) -> None:
        for name in names:
            del tensors[name]

    return edit


def with_tensor(name: str, *shape: int) -> Edit:
    def edit(_: gguf.GGUFWriter, tensors: Weights) -> None:
        tensors[name] = np.ones(shape, np.float32)

    return edit


def changed_freqs(writer: gguf.GGUFWriter, tensors: Weights) -> None:
    tensors["rope_freqs.weight"] = llama3_freqs(16, 500000.0, 8.0, original=4096)


def infinite_factors(writer: gguf.GGUFWriter, tensors: Weights) -> None:
    tensors["rope_factors_long.weight"] = np.full(8, np.inf, np.float32)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        ("llama", setting("general.architecture", "mamba"), "its architecture is 'mamba'.* converted are llama, qwen2"),
        ("llama", setting("split.count", 2), "one part of several"),
        ("llama", setting("llama.logit_scale", 0.5), "metadata 'llama.logit_scale' is 0.5"),
        ("llama", setting("llama.expert_count", 8), "metadata 'llama.expert_count' is 8"),
        ("llama", setting("llama.rope.scaling.attn_factor", 2.0), "'llama.rope.scaling.attn_factor' is 2.0"),
        ("llama", setting("llama.rope.freq_base", float("inf")), "'llama.rope.freq_base' is inf"),
        ("llama", setting("llama.rope.freq_base", float("nan")), "'llama.rope.freq_base' is nan"),
        ("llama", setting("llama.attention.head_count", 0), "'llama.attention.head_count' is 0"),
        ("llama", setting("llama.attention.head_count", 4096), "'llama.attention.key_length' is 0"),
        ("llama", setting("llama.attention.head_count_kv", 3), "4 heads cannot share 3 pairs"),
        ("llama", setting("llama.attention.key_length", 15), "heads of 15 numbers cannot turn in pairs"),
        ("llama", setting("llama.rope.scaling.type", "su"), "scaled by 'su'"),
        ("llama", setting("llama.rope.scaling.factor", 2.0), "scaled by 2.0"),
        ("llama", setting("tokenizer.ggml.eos_token_id", 100_000), "eos_token_id' is 100000"),
        ("llama", without_entry("llama.context_length"), "'llama.context_length' is None"),
        ("llama", with_tensor("blk.0.attn_q.bias", HIDDEN), "'blk.0.attn_q.bias' is not part of a plain llama"),
        ("llama", with_tensor("blk.0.ffn_gate_exps.weight", 8, 8), "'blk.0.ffn_gate_exps.weight' is not part"),
        ("llama 3", changed_freqs, "'rope_freqs.weight' scales positions unlike Llama 3"),
        ("llama 3", setting("llama.rope.scaling.type", "linear"), "by 'linear' and by 'rope_freqs.weight' at once"),
        ("llama 3", with_tensor("rope_freqs.weight", 9), "'rope_freqs.weight' is F32 .9,., where F32 .8,. is needed"),
        ("qwen2", without("blk.1.attn_k.bias"), "'blk.1.attn_k.bias' is missing"),
        ("qwen2", with_tensor("blk.1.attn_k.bias", 33), "'blk.1.attn_k.bias' has the shape .33,."),
        ("qwen2", setting("qwen2.attention.key_length", 32), "4 heads of 32 are not the width of 64"),
        ("qwen2", without_entry("qwen2.attention.layer_norm_rms_epsilon"), "layer_norm_rms_epsilon' is None"),
        ("qwen2 with yarn", setting("qwen2.rope.scaling.yarn_log_multiplier", 0.1), "yarn_log_multiplier' is 0.1"),
        ("qwen3", without("blk.0.attn_q_norm.weight"), "'blk.0.attn_q_norm.weight' is missing"),
        ("qwen3", setting("qwen3.rope.dimension_count", 16), "only a part of each head turns"),
        ("gemma", with_tensor("output.weight", 260, HIDDEN), "'output.weight' is not part of a plain gemma"),
        ("gemma", setting("gemma.rope.scaling.type", "yarn"), "scaled by 'yarn', which mlx-lm's model"),
        ("gemma2", without("blk.1.post_ffw_norm.weight"), "'blk.1.post_ffw_norm.weight' is missing"),
        ("gemma3", setting("gemma3.final_logit_softcapping", 30.0), "'gemma3.final_logit_softcapping' is 30.0"),
        ("gemma3", setting("gemma3.attention.sliding_window_pattern", 4), "slide in another pattern"),
        ("gemma3", without_entry("gemma3.attention.sliding_window"), "'gemma3.attention.sliding_window' is None"),
        ("phi2", without("output.bias"), "'output.bias' is missing"),
        ("phi2", setting("phi2.rope.dimension_count", 18), "18 numbers of each head turn"),
        ("phi2", with_tensor("blk.0.attn_qkv.weight", 191, HIDDEN), "'blk.0.attn_qkv.weight' has the shape"),
        ("phi3 for long contexts", setting("phi3.rope.scaling.attn_factor", 1.5), "by a factor of 1.5"),
        ("phi3 for long contexts", setting("phi3.rope.scaling.type", "yarn"), "by 'yarn' and by 'rope_factors_long"),
        ("phi3 for long contexts", without("rope_factors_short.weight"), "'rope_factors_short.weight' is missing"),
        ("phi3 for long contexts", infinite_factors, "'rope_factors_long.weight' holds what is no number"),
        ("starcoder2", without(f"blk.{LAYERS - 1}.ffn_down.bias"), "ffn_down.bias' is missing"),
    ],
)
def test_what_mlx_lm_has_no_place_for_is_refused_by_name(tmp_path: Path, name: str, edit: Edit, message: str) -> None:
    with pytest.raises(ModelLoadingError, match=message):
        converted(tmp_path, name, edit)
    assert not list((tmp_path / "made").iterdir())


@pytest.mark.parametrize("factor", [1.0, 32.0])
def test_the_factor_of_llama_3_is_found_again(tmp_path: Path, factor: float) -> None:
    def edit(writer: gguf.GGUFWriter, tensors: Weights) -> None:
        tensors["rope_freqs.weight"] = llama3_freqs(16, 500000.0, factor)

    folder, _ = converted(tmp_path, "llama 3", edit)
    assert config_of(folder).get("rope_scaling", {"factor": 1.0})["factor"] == factor


_ANYTHING = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from([0, 1, 2, 3, 7, 16, 64, 2**31 - 1, 0.0, -1.0, 1e-38, 3e38, float("nan"), float("inf")]),
    st.text(max_size=4),
    st.booleans(),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
    st.lists(st.text(max_size=2), min_size=1, max_size=3),
)


@cache
def whole(name: str) -> Any:
    return original(CASES[name])


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from([*CASES]), number=st.integers(0, 40), value=_ANYTHING)
def test_any_value_of_any_entry_is_refused_in_our_words_or_harmless(name: str, number: int, value: Any) -> None:
    def edit(writer: gguf.GGUFWriter, _: Weights) -> None:
        keys = [*writer.kv_data[0]]
        key = keys[number % len(keys)]
        del writer.kv_data[0][key]
        writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))

    with TemporaryDirectory() as folder:
        path = Path(folder, "source.gguf")
        write_gguf(path, CASES[name], whole(name), edit)
        with suppress(ModelLoadingError), open_gguf(path) as file:
            layout_of(file).config()
            tokenizer_files(file)
