"""Layers are replaced where that gains time and changes nothing else."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import pytest
from mlx import nn
from mlx.utils import tree_flatten

from pensieve.device.device import device_info
from pensieve.models.loading.gated_delta.families import Qwen35, family_of
from pensieve.models.loading.gated_delta.install import has_kernel, run_by_chunks
from pensieve.models.loading.gated_delta.layer import ChunkedLayer
from tests.engine.kv.models import small
from tests.models.loading.gated_delta.models import original


def num_chunked(model: nn.Module) -> int:
    return sum(isinstance(module, ChunkedLayer) for module in model.modules())


@pytest.mark.skipif(device_info().backend == "metal", reason="mlx-lm has a kernel there")
def test_a_loaded_hybrid_runs_by_chunks() -> None:
    assert num_chunked(small("qwen3_5").model) == 2


def test_only_metal_has_a_kernel() -> None:
    assert [has_kernel(backend) for backend in ("metal", "cuda", "cpu")] == [True, False, False]


def test_other_models_stay_as_they_are() -> None:
    assert run_by_chunks(original("mamba2"), "cpu") == 0


def test_the_weights_are_shared() -> None:
    model = original("qwen3_5")
    before = {id(array) for _, array in flat(model)}
    assert run_by_chunks(model, "cpu") == 2
    assert {id(array) for _, array in flat(model)} == before


def flat(model: nn.Module) -> list[tuple[str, mx.array]]:
    found = tree_flatten(model.parameters())
    assert isinstance(found, list)
    return found


class Changed(nn.Module):  # type: ignore[misc]
    """A layer of a later mlx-lm, which keeps its name and computes something else."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.held = (layer,)  # a tuple's modules are not children

    def __call__(self, x: mx.array, mask: Any = None, cache: Any = None) -> mx.array:
        doubled: mx.array = 2 * self.held[0](x, mask, cache)
        return doubled


class ChangedInside(Changed):
    """Has what the known layer has, but twice the result."""

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name) if name == "held" else getattr(self.held[0], name)


@pytest.mark.parametrize("changed", [Changed, ChangedInside])
def test_a_layer_that_has_changed_stays(changed: type[Changed], caplog: pytest.LogCaptureFixture) -> None:
    changed.__module__, changed.__qualname__ = "mlx_lm.models.qwen3_5", "GatedDeltaNet"
    assert family_of(changed(None)) is Qwen35
    model = original("qwen3_5")
    for layer in model.layers:
        if layer.is_linear:
            layer.linear_attn = changed(layer.linear_attn)
    assert run_by_chunks(model, "cpu") == 0
    assert num_chunked(model) == 0
    assert "computes something other than expected" in caplog.text
