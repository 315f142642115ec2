"""Models with random weights load, have the size of the model they stand for, and never end an answer early."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from pensieve.engine.layers.output_head import OutputHead
from pensieve.models.files.progress import ConsoleProgress
from pensieve.models.library.resolve import resolve
from pensieve.models.loading.load import load
from perf_gates.loads.shapes import SHAPES, Shape, tensors, write_shape
from perf_gates.measuring.measures import LINE

SIZES = {"deepseek-coder-6.7b": 6.74e9, "qwen2.5-coder-7b": 7.62e9, "qwen3-4b": 4.02e9}


def num_parameters(shape: Shape) -> float:
    """Counts eight parameters per packed word, and none for scales and biases."""
    planned = list(tensors(shape, np.random.default_rng(0)))
    packed = sum(8 * tensor.num_bytes // 4 for tensor in planned if tensor.dtype == "U32")
    plain = sum(tensor.num_bytes // 2 for tensor in planned if "norm" in tensor.name or tensor.name.endswith(".bias"))
    return packed + plain


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_as_many_parameters_as_the_model_it_stands_for(name: str) -> None:
    assert num_parameters(SHAPES[name]) == pytest.approx(SIZES[name], rel=0.005)


@pytest.mark.parametrize("name", SHAPES)
def test_a_small_model_of_each_architecture_loads_and_generates(name: str, tmp_path: Path) -> None:
    small = dataclasses.replace(
        SHAPES[name], hidden=256, inner=128, num_layers=2, num_heads=4, num_kv_heads=2, head_size=64, vocabulary=512
    )
    write_shape(tmp_path, small)
    model = load(resolve(str(tmp_path), progress=ConsoleProgress()))
    assert OutputHead.of(model.model) is not None, "it gets its first token from its prompt's last chunk, as real ones"
    from mlx_lm import stream_generate  # noqa: PLC0415 - after `import_mlx_lm`, which `load` calls

    prompt = model.tokenizer.apply_chat_template([{"role": "user", "content": "Hello"}], add_generation_prompt=True)
    responses = list(stream_generate(model.model, model.tokenizer.tokenizer, prompt, max_tokens=64))
    assert model.vocabulary_size == 512
    assert len(responses) == 64
    assert all(response.token > 2 for response in responses)
    assert "".join(response.text for response in responses)


def test_the_texts_of_the_gates_have_as_many_tokens_as_with_a_real_model(tmp_path: Path) -> None:
    """The embedded model's tokenizer gives 19 tokens per line; one token per byte would be 95."""
    small = dataclasses.replace(
        SHAPES["qwen3-4b"], hidden=64, inner=64, num_layers=1, num_heads=1, num_kv_heads=1, head_size=64, vocabulary=512
    )
    write_shape(tmp_path, small)
    tokenizer = load(resolve(str(tmp_path), progress=ConsoleProgress())).tokenizer
    token_ids = tokenizer.encode(LINE * 10)
    assert 190 <= len(token_ids) <= 210
    assert tokenizer.decode(token_ids) == LINE * 10
