"""The memory of prefill is measured, cached, and not exceeded at any depth (S7)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from pensieve.device.memory.device_memory import DeviceMemory
from pensieve.engine.kv.rows.batch import RowsKV
from pensieve.engine.kv.rows.row import RowKV
from pensieve.engine.kv.sizes import KVSizes, LayerKV, measured_sizes
from pensieve.engine.memory.probe import FULL_CHUNK_TOKENS, Probe, kept_probe, probe
from pensieve.models.files.home import HOME_VARIABLE
from tests.engine.support.tiny_modules import WINDOW, new_caches, prefill, prompt, tiny_module
from tests.support.engines import GIB


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))


def test_prefill_does_not_exceed_the_measured_memory() -> None:
    model, memory = tiny_module("llama"), DeviceMemory(GIB)
    found = probe(model, memory, chunk_tokens=128, max_bytes=GIB)
    caches = [RowsKV([RowKV(min_room=1024)]) for _ in new_caches(model)]
    peak_bytes = 0
    for start in range(0, 1024, 128):
        mx.clear_cache()
        with memory.measured_peak() as peak:
            model.model(mx.array([prompt(128, start)]), cache=caches)
            mx.eval([cache.state for cache in caches])
        peak_bytes = max(peak_bytes, peak.bytes - mx.get_active_memory())
    assert 0 < peak_bytes <= found.activation_bytes


def test_a_model_is_measured_once_for_each_limit() -> None:
    memory = DeviceMemory(GIB)
    first = probe(tiny_module("llama"), memory, chunk_tokens=64, max_bytes=GIB)
    model = tiny_module("llama")
    model.model = _Unusable(model.model)
    assert probe(model, memory, chunk_tokens=64, max_bytes=GIB) == first
    with pytest.raises(AssertionError, match="the model runs"):
        probe(model, memory, chunk_tokens=64, max_bytes=GIB - 1)


def test_measurements_of_an_older_version_are_repeated(tmp_path: Path) -> None:
    memory = DeviceMemory(GIB)
    first = probe(tiny_module("llama"), memory, chunk_tokens=64, max_bytes=GIB)
    measurements = json.loads((tmp_path / "probes.json").read_text())
    for measurement in measurements.values():
        del measurement["rows"]
    (tmp_path / "probes.json").write_text(json.dumps(measurements))
    assert probe(tiny_module("llama"), memory, chunk_tokens=64, max_bytes=GIB).sizes == first.sizes
    assert all("rows" in measurement for measurement in json.loads((tmp_path / "probes.json").read_text()).values())


class _Unusable:
    """A model that may be inspected but not run."""

    def __init__(self, model: object) -> None:
        self._model = model

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def __call__(self, *_: object, **__: object) -> None:
        raise AssertionError("the model runs")


def test_a_chunk_is_as_small_as_the_memory_limit_requires() -> None:
    model = tiny_module("llama")
    whole = probe(model, DeviceMemory(GIB), chunk_tokens=1024, max_bytes=GIB)
    less = probe(model, DeviceMemory(GIB), chunk_tokens=1024, max_bytes=whole.activation_bytes // 8)
    assert whole.chunk_tokens == 1024
    assert less.chunk_tokens < 1024
    assert less.activation_bytes <= whole.activation_bytes // 8


def test_the_chunk_is_halved_with_depth_if_attention_scores_take_memory() -> None:
    sizes = KVSizes((LayerKV(1024),), in_rows=True)
    fused = Probe(512, 1000, 2048, 1000, sizes)
    naive = Probe(512, 1000, 2048, 3000, sizes)
    assert fused.max_chunk_at(100_000, 512) == 512
    assert [naive.max_chunk_at(depth, 512) for depth in (0, FULL_CHUNK_TOKENS, 3 * FULL_CHUNK_TOKENS)] == [
        512,
        512,
        128,
    ]
    assert naive.max_chunk_at(10**9, 512) == 16


@pytest.mark.parametrize(("kind", "num_tokens"), [("llama", 500), ("gemma3_text", 500), ("mamba2", 60)])
def test_sizes_cover_the_bytes_of_a_models_caches(kind: str, num_tokens: int) -> None:
    model = tiny_module(kind)
    sizes = measured_sizes(prefill(model, prompt(8)), chunk_tokens=256)
    caches = prefill(model, prompt(num_tokens))
    assert sum(cache.nbytes for cache in caches) <= sizes.alone(num_tokens)
    if kind == "gemma3_text":
        windows = [layer for layer in sizes.layers if layer.max_tokens == WINDOW + 256]
        assert windows
        assert sizes.alone(5000) < sum(layer.bytes_per_token for layer in sizes.layers) * 5120


def test_padded_batches_reserve_the_longest_length_for_every_row() -> None:
    padded, rows = (KVSizes((LayerKV(100),), in_rows=in_rows) for in_rows in (False, True))
    alone = rows.alone(1000)
    assert rows.joining(1000, [4000, 200], 10**9) == alone == 102_400
    assert padded.joining(1000, [3840], 2 * 384_000) == 2 * 2 * 384_000 - 2 * 384_000
    assert rows.max_tokens(102_400) == 1024
    assert padded.max_tokens(102_400) == 512


@pytest.mark.parametrize("damage", [{"chunk_tokens": 0}, {"chunk_bytes": -1}, {"sizes": {}}, {"rows": "some"}])
def test_a_damaged_entry_is_measured_again(damage: dict[str, object]) -> None:
    sizes = KVSizes((LayerKV(8), LayerKV(max_tokens=4)), in_rows=True)
    whole = Probe(32, 100, 64, 200, sizes)
    entry = json.loads(json.dumps(asdict(whole)))
    assert kept_probe(entry) == whole
    others: list[Any] = [None, [], "x"]
    for damaged in ({**entry, **damage}, *others):
        with pytest.raises((TypeError, ValueError)):
            kept_probe(damaged)
