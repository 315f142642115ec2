"""The sampling recommended in generation_config.json is used as far as it is valid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.values.vocabulary import Sampling
from pensieve.models.loading.generation_config import read_generation_config


def written(folder: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "generation_config.json").write_text(text, encoding="utf-8")
    return folder


def test_a_real_file_is_read(tmp_path: Path) -> None:
    """The file of Qwen3."""
    content = {
        "bos_token_id": 151643,
        "do_sample": True,
        "eos_token_id": [151645, 151643],
        "pad_token_id": 151643,
        "temperature": 0.6,
        "top_k": 20,
        "top_p": 0.95,
        "transformers_version": "4.51.0",
    }
    found = read_generation_config(written(tmp_path, content))
    assert (found.sampling, found.problem) == (Sampling(0.6, 0.95, 20), "")


def test_a_folder_without_the_file_recommends_nothing(tmp_path: Path) -> None:
    found = read_generation_config(tmp_path)
    assert (found.sampling, found.problem) == (Sampling(), "")


@pytest.mark.parametrize(
    ("content", "temperature"),
    [
        ({"do_sample": False}, 0.0),
        ({"do_sample": False, "temperature": None}, 0.0),
        ({"do_sample": False, "temperature": 0.7}, 0.7),
        ({"do_sample": True}, None),
        ({"do_sample": None}, None),
        ({}, None),
    ],
)
def test_do_sample_false_means_greedy(tmp_path: Path, content: object, temperature: float | None) -> None:
    assert read_generation_config(written(tmp_path, content)).sampling.temperature == temperature


def test_invalid_values_are_ignored_and_valid_ones_are_used(tmp_path: Path) -> None:
    content = {"temperature": 5, "top_p": "0.9", "top_k": True, "min_p": 0.05, "repetition_penalty": 0}
    found = read_generation_config(written(tmp_path, content))
    assert found.sampling == Sampling(min_p=0.05)
    for part in ("generation_config.json", "temperature", "top_p", "top_k", "repetition_penalty", "'0.9'"):
        assert part in found.problem
    assert "min_p" not in found.problem


@pytest.mark.parametrize("content", ["{", "[1]", '"text"', "", "[" * 100_000, '{"temperature": NaN}'])
def test_an_unusable_file_is_named_and_ignored(tmp_path: Path, content: str) -> None:
    found = read_generation_config(written(tmp_path, content))
    assert found.sampling == Sampling()
    assert "generation_config.json" in found.problem


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    found = read_generation_config(written(tmp_path, '\ufeff{"top_k": 20}'))
    assert (found.sampling, found.problem) == (Sampling(top_k=20), "")
