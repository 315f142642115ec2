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


def test_a_real_file_gives_its_recommendation(tmp_path: Path) -> None:
    """That of Qwen3, as its model card has it."""
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
def test_without_sampling_a_model_is_greedy(tmp_path: Path, content: object, temperature: float | None) -> None:
    assert read_generation_config(written(tmp_path, content)).sampling.temperature == temperature


def test_what_is_out_of_range_or_of_another_type_is_ignored_and_the_rest_holds(tmp_path: Path) -> None:
    content = {"temperature": 5, "top_p": "0.9", "top_k": True, "min_p": 0.05, "repetition_penalty": 0}
    found = read_generation_config(written(tmp_path, content))
    assert found.sampling == Sampling(min_p=0.05)
    for part in ("generation_config.json", "temperature", "top_p", "top_k", "repetition_penalty", "'0.9'"):
        assert part in found.problem
    assert "min_p" not in found.problem


@pytest.mark.parametrize("content", ["{", "[1]", '"text"', "", "[" * 100_000, '{"temperature": NaN}'])
def test_a_file_that_cannot_be_used_is_named_and_keeps_nothing_from_loading(tmp_path: Path, content: str) -> None:
    found = read_generation_config(written(tmp_path, content))
    assert found.sampling == Sampling()
    assert "generation_config.json" in found.problem


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    found = read_generation_config(written(tmp_path, '\ufeff{"top_k": 20}'))
    assert (found.sampling, found.problem) == (Sampling(top_k=20), "")
