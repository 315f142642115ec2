"""A converted model computes what mlx-lm's model does with the same weights; unsupported files are refused by name."""

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
from tests.models.gguf.architecture_cases import CASES, Weights, llama3_freqs, reference_model, write_gguf
from tests.models.gguf.gguf_files import HIDDEN, LAYERS

Edit = Callable[[gguf.GGUFWriter, Weights], None]

TOKENS = np.random.default_rng(5).integers(0, 259, (1, 40))


def converted(folder: Path, name: str, edit: Edit | None = None) -> tuple[Path, Any]:
    """The converted folder of a case, and the model that its file was written from."""
    model = reference_model(CASES[name])
    write_gguf(folder / "source.gguf", CASES[name], model, edit)
    output = folder / "converted"
    output.mkdir()
    convert_gguf(folder / "source.gguf", output)
    return output, model


@pytest.mark.parametrize("name", CASES)
def test_a_converted_model_computes_the_same_logits_as_the_original(tmp_path: Path, name: str) -> None:
    from mlx_lm.utils import load_model  # noqa: PLC0415 - `reference_model` must import mlx-lm first

    folder, model = converted(tmp_path, name)
    loaded, _ = load_model(folder)
    expected, found = (np.array(each(mx.array(TOKENS)).astype(mx.float32)) for each in (model, loaded))
    assert np.abs(expected).max() > 0.5
    # Gemma's norms lose their last bit when 1 is added and subtracted again.
    tolerance = 1e-4 if "gemma" in name else 0
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma", "phi2", "phi3"])
def test_quantised_rows_get_the_same_order_as_dense_ones(tmp_path: Path, name: str) -> None:
    from mlx_lm.utils import load_model  # noqa: PLC0415

    model = reference_model(CASES[name])
    write_gguf(tmp_path / "source.gguf", CASES[name], model, matrix_type=GgmlType.Q8_0)
    (tmp_path / "converted").mkdir()
    convert_gguf(tmp_path / "source.gguf", tmp_path / "converted")
    loaded, _ = load_model(tmp_path / "converted")
    expected, found = (np.array(each(mx.array(TOKENS)).astype(mx.float32)) for each in (model, loaded))
    # Eight bits and f16 in place of f32 cost one or two percent. Misplaced rows would cause an error of about 100 %.
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


def config_of(folder: Path) -> Any:
    return json.loads((folder / "config.json").read_text())


def test_an_end_of_turn_token_in_the_vocabulary_ends_generation(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "phi3", setting("tokenizer.ggml.eos_token_id", 0))
    assert config_of(folder)["eos_token_id"] == [0, 2]  # <|endoftext|> from the metadata, <|im_end|> by its text


def test_an_end_of_turn_token_in_the_metadata_is_the_only_one(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "llama")
    assert config_of(folder)["eos_token_id"] == [2]


def test_context_length_and_sliding_window_are_kept(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "gemma3")
    config = config_of(folder)
    assert (config["max_position_embeddings"], config["sliding_window"]) == (512, 8)


def test_mistrals_sliding_window_is_kept_although_it_is_not_used(tmp_path: Path) -> None:
    folder, _ = converted(tmp_path, "llama", setting("llama.attention.sliding_window", 128))
    config = config_of(folder)
    assert (config["max_position_embeddings"], config["sliding_window"]) == (512, 128)
    assert "layer_types" not in config


def replace_value(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    """Replace a metadata value and keep its type."""
    entries = writer.kv_data[0]
    entries[key] = gguf.GGUFValue(value, entries[key].type, entries[key].sub_type)


def setting(key: str, value: Any) -> Edit:
    def edit(writer: gguf.GGUFWriter, tensors: Weights) -> None:
        if key in writer.kv_data[0]:
            replace_value(writer, key, value)
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


def without_tensors(*names: str) -> Edit:
    def edit(writer: gguf.GGUFWriter, tensors: Weights) -> None:
        for name in names:
            del tensors[name]

    return edit


def with_tensor(name: str, *shape: int) -> Edit:
    def edit(_: gguf.GGUFWriter, tensors: Weights) -> None:
        tensors[name] = np.ones(shape, np.float32)

    return edit


def wrong_freqs(writer: gguf.GGUFWriter, tensors: Weights) -> None:
    tensors["rope_freqs.weight"] = llama3_freqs(16, 500000.0, 8.0, original=4096)


def infinite_factors(writer: gguf.GGUFWriter, tensors: Weights) -> None:
    tensors["rope_factors_long.weight"] = np.full(8, np.inf, np.float32)


@pytest.mark.parametrize(
    ("name", "edit", "message"),
    [
        (
            "llama",
            setting("general.architecture", "mamba"),
            "the architecture 'mamba' cannot be converted from GGUF; supported are llama, qwen2",
        ),
        ("llama", setting("split.count", 2), "one part of a split model; join the parts"),
        ("llama", setting("llama.logit_scale", 0.5), "metadata 'llama.logit_scale' is 0.5"),
        ("llama", setting("llama.expert_count", 8), "metadata 'llama.expert_count' is 8"),
        ("llama", setting("llama.rope.scaling.attn_factor", 2.0), "'llama.rope.scaling.attn_factor' is 2.0"),
        ("llama", setting("llama.rope.freq_base", float("inf")), "'llama.rope.freq_base' is inf"),
        ("llama", setting("llama.rope.freq_base", float("nan")), "'llama.rope.freq_base' is nan"),
        ("llama", setting("llama.attention.head_count", 0), "'llama.attention.head_count' is 0"),
        ("llama", setting("llama.attention.head_count", 4096), "'llama.attention.key_length' is 0"),
        ("llama", setting("llama.attention.head_count_kv", 3), "4 attention heads are not divisible by 3 KV heads"),
        ("llama", setting("llama.attention.key_length", 15), "an even head size, not 15"),
        ("llama", setting("llama.rope.scaling.type", "su"), "RoPE scaling of type 'su'"),
        ("llama", setting("llama.rope.scaling.factor", 2.0), "RoPE scaling by a factor of 2.0"),
        ("llama", setting("tokenizer.ggml.eos_token_id", 100_000), "eos_token_id' is 100000"),
        (
            "llama",
            without_entry("llama.context_length"),
            "'llama.context_length' is missing; it must be an integer of 1 or more",
        ),
        ("llama", with_tensor("blk.0.attn_q.bias", HIDDEN), "'blk.0.attn_q.bias' is not part of a plain llama"),
        ("llama", with_tensor("blk.0.ffn_gate_exps.weight", 8, 8), "'blk.0.ffn_gate_exps.weight' is not part"),
        ("llama 3", wrong_freqs, "'rope_freqs.weight' does not hold Llama 3's RoPE scaling"),
        (
            "llama 3",
            setting("llama.rope.scaling.type", "linear"),
            "by 'linear' and by tensor 'rope_freqs.weight' at once",
        ),
        (
            "llama 3",
            with_tensor("rope_freqs.weight", 9),
            "'rope_freqs.weight' has the type F32 and the shape .9,.; F32 and .8,. are",
        ),
        ("qwen2", without_tensors("blk.1.attn_k.bias"), "'blk.1.attn_k.bias' is missing"),
        ("qwen2", with_tensor("blk.1.attn_k.bias", 33), "'blk.1.attn_k.bias' has the shape .33,."),
        ("qwen2", setting("qwen2.attention.key_length", 32), "4 heads of 32 do not add up to the hidden size of 64"),
        ("qwen2", without_entry("qwen2.attention.layer_norm_rms_epsilon"), "layer_norm_rms_epsilon' is missing"),
        ("qwen2 with yarn", setting("qwen2.rope.scaling.yarn_log_multiplier", 0.1), "yarn_log_multiplier' is 0.1"),
        ("qwen3", without_tensors("blk.0.attn_q_norm.weight"), "'blk.0.attn_q_norm.weight' is missing"),
        ("qwen3", setting("qwen3.rope.dimension_count", 16), "partial rotary embeddings cannot be converted"),
        ("gemma", with_tensor("output.weight", 260, HIDDEN), "'output.weight' is not part of a plain gemma"),
        ("gemma", setting("gemma.rope.scaling.type", "yarn"), "mlx-lm does not support RoPE scaling of type 'yarn'"),
        ("gemma2", without_tensors("blk.1.post_ffw_norm.weight"), "'blk.1.post_ffw_norm.weight' is missing"),
        ("gemma3", setting("gemma3.final_logit_softcapping", 30.0), "'gemma3.final_logit_softcapping' is 30.0"),
        ("gemma3", setting("gemma3.attention.sliding_window_pattern", 4), "pattern of sliding-window layers"),
        ("gemma3", without_entry("gemma3.attention.sliding_window"), "'gemma3.attention.sliding_window' is missing"),
        ("phi2", without_tensors("output.bias"), "'output.bias' is missing"),
        ("phi2", setting("phi2.rope.dimension_count", 18), "18 rotary dimensions do not fit heads of 16"),
        ("phi2", with_tensor("blk.0.attn_qkv.weight", 191, HIDDEN), "'blk.0.attn_qkv.weight' has the shape"),
        ("phi3 for long contexts", setting("phi3.rope.scaling.attn_factor", 1.5), "the RoPE attention factor is 1.5"),
        (
            "phi3 for long contexts",
            setting("phi3.rope.scaling.type", "yarn"),
            "by 'yarn' and by tensor 'rope_factors_long",
        ),
        (
            "phi3 for long contexts",
            without_tensors("rope_factors_short.weight"),
            "'rope_factors_short.weight' is missing",
        ),
        ("phi3 for long contexts", infinite_factors, "'rope_factors_long.weight' must hold finite numbers"),
        ("starcoder2", without_tensors(f"blk.{LAYERS - 1}.ffn_down.bias"), "ffn_down.bias' is missing"),
    ],
)
def test_unsupported_metadata_and_tensors_are_refused_by_name(
    tmp_path: Path, name: str, edit: Edit, message: str
) -> None:
    with pytest.raises(ModelLoadingError, match=message):
        converted(tmp_path, name, edit)
    assert not list((tmp_path / "converted").iterdir())


@pytest.mark.parametrize("factor", [1.0, 32.0])
def test_llama_3s_scaling_factor_is_recovered(tmp_path: Path, factor: float) -> None:
    def edit(writer: gguf.GGUFWriter, tensors: Weights) -> None:
        tensors["rope_freqs.weight"] = llama3_freqs(16, 500000.0, factor)

    folder, _ = converted(tmp_path, "llama 3", edit)
    assert config_of(folder).get("rope_scaling", {"factor": 1.0})["factor"] == factor


_ANY_VALUE = st.one_of(
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from([0, 1, 2, 3, 7, 16, 64, 2**31 - 1, 0.0, -1.0, 1e-38, 3e38, float("nan"), float("inf")]),
    st.text(max_size=4),
    st.booleans(),
    st.lists(st.integers(0, 9), min_size=1, max_size=3),
    st.lists(st.text(max_size=2), min_size=1, max_size=3),
)


@cache
def cached_model(name: str) -> Any:
    return reference_model(CASES[name])


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from([*CASES]), index=st.integers(0, 40), value=_ANY_VALUE)
def test_any_metadata_value_either_works_or_is_refused_with_a_clear_error(name: str, index: int, value: Any) -> None:
    def edit(writer: gguf.GGUFWriter, _: Weights) -> None:
        keys = [*writer.kv_data[0]]
        key = keys[index % len(keys)]
        del writer.kv_data[0][key]
        writer.add_key_value(key, value, gguf.GGUFValueType.get_type(value))

    with TemporaryDirectory() as folder:
        path = Path(folder, "source.gguf")
        write_gguf(path, CASES[name], cached_model(name), edit)
        with suppress(ModelLoadingError), open_gguf(path) as file:
            layout_of(file)
            tokenizer_files(file)
