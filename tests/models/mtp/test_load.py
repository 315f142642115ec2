"""A head is read from a checkpoint's files in the form that the makers, or a converter, gave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from mlx.nn.layers.quantized import quantize

from pensieve.models.mtp.head import MtpHead
from pensieve.models.mtp.load import load_head
from tests.dialects.matrix.model_types import config_of
from tests.support.mlx_lm_classes import classes_of

SIZE = 64


@pytest.fixture(scope="module")
def qwen() -> Any:
    return _model("qwen3_next")


def _model(model_type: str) -> Any:
    model_class, args_class = classes_of(model_type)
    return model_class(args_class.from_dict(config_of(model_type)))


def _weights_of(model: Any, index: int) -> dict[str, mx.array]:
    """A head whose layer is the model's own."""
    head = MtpHead(model.model.layers[index], SIZE, 1e-5)
    return dict(_flat(head))


def _flat(module: Any) -> list[tuple[str, mx.array]]:
    from mlx.utils import tree_flatten  # noqa: PLC0415 - typed as anything

    return tree_flatten(module.parameters())  # type: ignore[return-value]


_NAMES = {
    "projection.": "mtp.fc.",
    "embedding_norm.": "mtp.pre_fc_norm_embedding.",
    "hidden_norm.": "mtp.pre_fc_norm_hidden.",
    "norm.": "mtp.norm.",
    "layer.": "mtp.layers.0.",
}


def _published(name: str) -> str:
    part = next(each for each in _NAMES if name.startswith(each))
    return _NAMES[part] + name.removeprefix(part)


def _save(folder: Path, weights: dict[str, mx.array]) -> list[Path]:
    path = folder / "model.safetensors"
    mx.save_safetensors(str(path), {_published(name): array for name, array in weights.items()})
    return [path]


def _loaded(model: Any, files: list[Path], model_type: str = "qwen3_next") -> dict[str, mx.array]:
    head = load_head(model, config_of(model_type), files)
    assert head is not None
    return dict(_flat(head))


def test_a_converted_head_is_read_as_it_is(qwen: Any, tmp_path: Path) -> None:
    weights = _weights_of(qwen, 3)
    found = _loaded(qwen, _save(tmp_path, weights))
    assert found.keys() == weights.keys()
    assert all(bool(mx.array_equal(found[name], array)) for name, array in weights.items())


def test_the_makers_norms_are_offsets_from_one(qwen: Any, tmp_path: Path) -> None:
    """Some converters add one to some of them, so each is judged by itself, unless the model's own are offsets too."""
    weights = _weights_of(qwen, 3)
    norms = [name for name in weights if name.endswith("norm.weight")]
    stored = weights | {name: weights[name] - 1 for name in norms[1:]}
    found = _loaded(qwen, _save(tmp_path, stored))
    assert all(bool(mx.array_equal(found[name], weights[name])) for name in norms)

    raw = {name: mx.full(weights[name].shape, 0.7) for name in norms}
    files = _save(tmp_path, weights | raw)
    mx.save_safetensors(str(tmp_path / "model-2.safetensors"), {"model.layers.0.conv1d.weight": mx.ones((8, 1, 4))})
    found = _loaded(qwen, [*files, tmp_path / "model-2.safetensors"])
    assert all(bool(mx.allclose(found[name], mx.array(1.7))) for name in norms)


def test_a_packed_head_stays_packed(qwen: Any, tmp_path: Path) -> None:
    head = MtpHead(_model("qwen3_next").model.layers[3], SIZE, 1e-5)
    quantize(head, 64, 4, class_predicate=lambda _, module: _can_be_packed(module))
    weights = dict(_flat(head))
    assert "projection.scales" in weights
    found = _loaded(qwen, _save(tmp_path, weights))
    assert {name: array.dtype for name, array in found.items()} == {name: it.dtype for name, it in weights.items()}


def _can_be_packed(module: Any) -> bool:
    return hasattr(module, "to_quantized") and module["weight"].shape[-1] % 64 == 0


def test_the_makers_experts_are_stacked(qwen: Any, tmp_path: Path) -> None:
    expected = _weights_of(qwen, 3)
    weights = dict(expected)
    for name in [name for name in weights if ".switch_mlp." in name]:
        stacked = weights.pop(name)
        weights |= {name.replace("switch_mlp", f"experts.{number}"): each for number, each in enumerate(stacked)}
    found = _loaded(qwen, _save(tmp_path, weights))
    assert [name for name, array in expected.items() if not mx.array_equal(found[name], array)] == []


def test_a_checkpoint_without_one_has_none(qwen: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    mx.save_safetensors(str(path), {"model.norm.weight": mx.ones(SIZE)})
    assert load_head(qwen, config_of("qwen3_next"), [path]) is None
