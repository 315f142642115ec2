"""RoPE settings in the form of transformers 5 give the same logits as in the older form, in every type with a base."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import mlx.core as mx
import pytest

from pensieve.models.files.home import HOME_VARIABLE
from pensieve.models.files.model_folder import ModelFolder
from pensieve.models.loading.load import load
from tests.dialects.matrix.coverage import SEEDS
from tests.dialects.matrix.model_types import EXTRA, config_of
from tests.dialects.matrix.row import write_small_model

LENGTH: Final = 2000
CHUNK: Final = 500
THETA: Final = 50_000.0
LOCAL_THETA: Final = 20_000.0
LINEAR: Final = {"rope_type": "linear", "type": "linear", "factor": 4.0}

NO_OLDER_FORM: Final = frozenset((
    "gemma4", "gemma4_text", "glm_moe_dsa", "laguna", "mellum", "minimax_m3_vl", "ministral3", "mistral4",
    "qwen3_5", "qwen3_5_moe", "spark2_5",
))  # fmt: skip
"""Published with `rope_parameters`, the only form that mlx-lm reads for them."""
NO_BASE: Final = frozenset((
    "gpt2", "gpt_bigcode", "gptj", "jamba", "kimi_k3", "kimi_linear", "mamba", "mamba2", "nemotron_h", "openelm",
    "phixtral", "plamo2", "qwen", "recurrent_gemma", "rwkv7",
))  # fmt: skip
"""Without RoPE, or with a base that mlx-lm fixes."""
TYPES: Final = sorted(EXTRA.keys() - NO_OLDER_FORM - NO_BASE, key=str.lower)
OWN_SCALING: Final = frozenset(("deepseek_v2", "hunyuan", "hunyuan_v1_dense", "minicpm3", "phimoe"))
"""With a scaling of their own, which the matrix already has."""
LONG: Final = {"type": "longrope", "short_factor": [1.0] * 8, "long_factor": [1.5] * 8}
LOCAL_KEYS: Final = {
    "gear": "rope_local_base_freq",
    "gemma3": "rope_local_base_freq",
    "gemma3_text": "rope_local_base_freq",
    "gemma3n": "rope_local_base_freq",
    "mimo_v2_flash": "swa_rope_theta",
    "plamo3": "rope_local_theta",
}
"""The older key of the base of sliding windows."""
NOT_CONVERTED: Final = frozenset(("mimo_v2_flash", "muse_glimmer", "olmo3", "pixtral", "step3p5"))
"""Transformers writes the newer form for these, but does not convert the older keys."""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


def older_form(model_type: str) -> dict[str, Any]:
    config = config_of(model_type)
    part = _text_part(config)
    part["rope_theta"] = THETA
    if model_type not in OWN_SCALING:
        part["rope_scaling"] = dict(LONG if model_type == "phi3" else LINEAR)
    if model_type in LOCAL_KEYS:
        part[LOCAL_KEYS[model_type]] = LOCAL_THETA
    if model_type == "gpt_neox":
        part["rotary_emb_base"] = THETA
    if model_type == "dbrx":
        part["attn_config"] = {**part["attn_config"], "rope_theta": THETA}
    return config


def newer_form(config: Mapping[str, Any]) -> dict[str, Any]:
    """As transformers 5 writes it (modeling_rope_utils.py): base, scaling and rotary factor in one dictionary."""
    written = json.loads(json.dumps(config))
    part = _text_part(written)
    local_key = LOCAL_KEYS.get(str(written["model_type"]))
    factor = part.pop("partial_rotary_factor", part.pop("rotary_pct", None))
    shared = {} if factor is None else {"partial_rotary_factor": factor}
    part.get("attn_config", {}).pop("rope_theta", None)
    part.pop("rotary_emb_base", None)
    scaling = part.pop("rope_scaling", None) or {}
    kind = scaling.pop("type", "default")
    main = {"rope_theta": part.pop("rope_theta"), **scaling, "rope_type": kind, **shared}
    if local_key is None and written["model_type"] != "olmo3":
        part["rope_parameters"] = main
        return dict(written)
    local = part.pop(local_key) if local_key is not None else main["rope_theta"]
    sliding = {"rope_theta": local, "rope_type": "default", **shared}
    part["rope_parameters"] = {"full_attention": main, "sliding_attention": sliding}
    return dict(written)


def _text_part(config: dict[str, Any]) -> dict[str, Any]:
    part: dict[str, Any] = config.get("text_config", config)
    return part


@pytest.mark.parametrize("model_type", TYPES)
def test_both_forms_give_the_same_logits_at_two_thousand_tokens(model_type: str, tmp_path: Path) -> None:
    older = older_form(model_type)
    folder = write_small_model(tmp_path / "model", older, seed=SEEDS.get(model_type, 0))
    expected = _logits(_by_mlx_lm(folder))
    (folder / "config.json").write_text(json.dumps(newer_form(older)), encoding="utf-8")
    found = _logits(load(ModelFolder(folder, model_type, model_type, "2026-01-01T00:00:00Z")).model)
    assert mx.array_equal(found[-1], expected[-1])
    (folder / "config.json").write_text(json.dumps(config_of(model_type)), encoding="utf-8")
    another_base = _logits(_by_mlx_lm(folder), CHUNK)
    assert not mx.array_equal(another_base[0], expected[0])


def test_mlx_lm_alone_silently_ignores_the_newer_form_in_many_types(tmp_path: Path) -> None:
    """Once mlx-lm reads it in all types, `pensieve.models.loading.rope` can be deleted."""
    ignoring = [
        name for name in ("llama", "qwen2", "gemma3_text", "phi3", "granite") if not _reads(name, tmp_path / name)
    ]
    assert ignoring


def _reads(model_type: str, folder: Path) -> bool:
    older = older_form(model_type)
    write_small_model(folder, older)
    expected = _logits(_by_mlx_lm(folder), CHUNK)
    (folder / "config.json").write_text(json.dumps(newer_form(older)), encoding="utf-8")
    try:
        return bool(mx.array_equal(_logits(_by_mlx_lm(folder), CHUNK)[0], expected[0]))
    except TypeError:  # it misses a key, and does not ignore the newer form silently
        return True


def test_the_newer_form_is_the_one_that_transformers_writes() -> None:
    transformers: Any = importlib.import_module("transformers")
    known: Any = importlib.import_module("transformers.models.auto.configuration_auto").CONFIG_MAPPING
    compared = []
    for model_type in (name for name in TYPES if name in known and name not in NOT_CONVERTED):
        older = older_form(model_type)
        try:
            config = transformers.AutoConfig.for_model(**json.loads(json.dumps(older))).to_dict()
        except Exception:  # noqa: S112 - Transformers validates more of a config than mlx-lm does
            continue
        expected = _text_part(newer_form(older))["rope_parameters"]
        assert _without_additions(_text_part(config)["rope_parameters"], expected) == expected, model_type
        compared.append(model_type)
    assert len(compared) >= 60
    assert {"llama", "gemma3_text", "qwen3_moe"} <= set(compared)


def _without_additions(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _without_additions(found[key], value) if isinstance(value, Mapping) else found.get(key)
        for key, value in expected.items()
    }


def _by_mlx_lm(folder: Path) -> Any:
    return importlib.import_module("mlx_lm.utils").load_model(folder)[0]


def _logits(model: Any, length: int = LENGTH) -> list[mx.array]:
    """The logits after the last token of each chunk."""
    caches = importlib.import_module("mlx_lm.models.cache").make_prompt_cache(model)
    tokens = mx.array([[(7 * index + index // 50) % 120 + 3 for index in range(length)]])
    found = []
    for start in range(0, length, CHUNK):
        found.append(model(tokens[:, start : start + CHUNK], cache=caches)[:, -1])
        mx.eval(found)
    return found
