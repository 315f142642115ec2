"""A loaded model gets the layers that are faster on its device, and computes the same."""

from __future__ import annotations

import mlx.core as mx
import pytest

from pensieve.device.device import device_info
from pensieve.device.exponentials import powers_are_faster
from pensieve.engine.layers.gated_mlp import GatedMLP
from pensieve.engine.layers.replace import replace_layers
from pensieve.engine.layers.rotation import RotationLayer
from tests.engine.support.tiny_modules import prompt, tiny_module


@pytest.mark.skipif(device_info().backend != "cpu", reason="these layers are for CPUs")
def test_on_a_cpu_rotations_and_activations_are_replaced() -> None:
    model = tiny_module("llama").model
    tokens = mx.array([prompt(9, 1)])
    expected = model(tokens)
    replace_layers(model)
    kinds = {type(module) for _, module in model.named_modules()}
    assert RotationLayer in kinds
    assert (GatedMLP in kinds) == powers_are_faster()
    assert mx.allclose(model(tokens), expected, atol=1e-4)
