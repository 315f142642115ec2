"""MLPs by powers of two compute what a model's own do, or the model keeps its own."""

from __future__ import annotations

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_unflatten

from pensieve.engine.layers.gated_mlp import GatedMLP, gated_mlps
from tests.engine.kv.models import small
from tests.engine.support.tiny_modules import prompt


@pytest.mark.parametrize("model_type", ["llama", "qwen3", "qwen3_5", "deepseek_v3"])
def test_a_model_computes_the_same_with_them(model_type: str) -> None:
    model = small(model_type).model
    tokens = mx.array([prompt(20, 1)])
    names, expected = [name for name, _ in model.named_modules()], model(tokens)
    layers = gated_mlps(model.named_modules())
    assert layers
    model.update_modules(tree_unflatten(layers))
    assert any(isinstance(module, GatedMLP) for _, module in model.named_modules())
    assert sorted(name for name, _ in model.named_modules()) == sorted(names)
    assert mx.allclose(model(tokens), expected, atol=1e-4)


def test_another_activation_stays() -> None:
    """Gemma's is a GELU."""
    assert gated_mlps(small("gemma3_text").model.named_modules()) == []


def test_packed_weights_stay() -> None:
    model = small("llama").model
    nn.quantize(model, 32, 4, class_predicate=lambda _, module: hasattr(module, "to_quantized"))
    assert gated_mlps(model.named_modules()) == []


def test_half_precision_stays() -> None:
    model = small("llama").model
    model.set_dtype(mx.bfloat16)
    assert gated_mlps(model.named_modules()) == []
