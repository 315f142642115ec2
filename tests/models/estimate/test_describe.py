"""The facts shown about a model agree with mlx-lm and with the model's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pensieve.models.estimate.describe import (
    architecture,
    chat_template,
    licence,
    quantisation,
    tokenizer_kind,
    tool_parser,
)
from tests.support.tiny_model import CHATML, write_byte_tokenizer

TEMPLATES = (
    CHATML,
    "<minimax:tool_call> <tool_call> tool_call.name",
    "<|tool_call>x<tool_call|>",
    "<start_function_call>",
    "<longcat_tool_call>",
    "<tool_call>{name}<arg_key>",
    "<|tool_list_start|>",
    "<|tool_call_start|>",
    "<tool_call>\\n<function=",
    "<tool_call>\n<function=",
    "<|tool_calls_section_begin|>",
    '<function name="a"><param name="b">',
    "[TOOL_CALLS]",
    "<atem:function_calls>",
    "<tool_call>{{ tool_call.name }}",
    "<tool_call>",
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_tool_parser_is_the_one_that_mlx_lm_chooses(template: str, tmp_path: Path) -> None:
    from pensieve.device.mlx_lm.bootstrap import import_mlx_lm  # noqa: PLC0415

    import_mlx_lm()
    from mlx_lm.tokenizer_utils import load  # noqa: PLC0415

    chosen = load(write_byte_tokenizer(tmp_path, chat_template=template)).tool_parser
    assert tool_parser(template) == (chosen and chosen.__module__.removeprefix("mlx_lm.tool_parsers."))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"quantization": {"group_size": 64, "bits": 4}}, "4 bits, groups of 64"),
        ({"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"}}, "4 bits, groups of 32 (mxfp4)"),
        ({"quantization": {"group_size": 32, "bits": 4, "lm_head": {"bits": 6}, "x": False}}, "4 and 6 bits"),
        ({"quantization_config": {"quant_method": "awq"}}, "awq"),
        ({"torch_dtype": "bfloat16"}, "bfloat16"),
        ({"text_config": {"dtype": "float16"}}, "float16"),
        ({}, "unknown"),
    ],
)
def test_quantisation_is_described_in_bits(config: dict[str, Any], expected: str) -> None:
    assert quantisation(config) == expected


def test_the_architecture_is_described_by_type_and_size() -> None:
    assert architecture({"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 64}) == (
        "llama, 2 layers of width 64"
    )
    assert architecture({}) == "unknown"


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        ("---\nlicense: apache-2.0\ntags: [a]\n---\n# A", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: qwen-research\n---\n", "qwen-research"),
        ("---\nlicense: 'mit'\n---\n", "mit"),
        ("# A\nlicense: none of the head\n", None),
        ("---\ntags: []\n---\nlicense: below\n", None),
    ],
)
def test_the_licence_is_read_from_the_head_of_the_model_card(tmp_path: Path, card: str, expected: str | None) -> None:
    (tmp_path / "README.md").write_text(card)
    assert licence(tmp_path) == expected


def test_tokenizer_and_template_are_found_where_transformers_looks(tmp_path: Path) -> None:
    assert (tokenizer_kind(tmp_path), chat_template(tmp_path), licence(tmp_path)) == ("none", None, None)
    write_byte_tokenizer(tmp_path)
    assert (tokenizer_kind(tmp_path), chat_template(tmp_path)) == ("tokenizer.json", CHATML)
    (tmp_path / "chat_template.jinja").write_text("stronger")
    assert chat_template(tmp_path) == "stronger"
