"""The file of `--model-settings`: its format, and how errors in it are reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.values.vocabulary import Sampling
from pensieve.cli.settings.model_settings import read_model_settings, require_served
from pensieve.cli.settings.model_table import ModelTable
from pensieve.core.defaults.model_settings import ModelSettings, ThinkingMode
from pensieve.core.errors import ValidationError


def write(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_model_has_a_table(tmp_path: Path) -> None:
    text = """
        ["mlx-community/Qwen3-8B-4bit"]
        temperature = 0.6
        top_p = 0.95
        top_k = 20
        min_p = 0
        repetition_penalty = 1.05
        thinking = "off"
        max_thinking_tokens = 2048

        [small]
        thinking = "auto"

        [empty]
    """
    assert read_model_settings(write(tmp_path, text)) == {
        "mlx-community/Qwen3-8B-4bit": ModelTable(
            ModelSettings(Sampling(0.6, 0.95, 20, 0, 1.05), ThinkingMode.OFF, 2048)
        ),
        "small": ModelTable(ModelSettings(thinking=ThinkingMode.AUTO)),
        "empty": ModelTable(),
    }


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[a", "models.toml: "),
        ("temperature = 0.6", "models.toml, line 1: temperature: is outside a table"),
        (
            "[a]\ntemprature = 0.6",
            r"models.toml, line 2: \[a\] temprature: unknown setting; did you mean temperature",
        ),
        ("[a]\ntemperature = 3", r"\[a\] temperature: 3 is not a number from 0.0 to 2.0"),
        ("[a]\ntemperature = '0.6'", r"\[a\] temperature: '0.6' is not a number; write it without quotation marks"),
        ("[a]\ntop_k = 2.0", r"\[a\] top_k: 2.0 is not a whole number"),
        ("[a]\nmin_p = nan", r"\[a\] min_p: nan is not a number"),
        ("[a]\nthinking = true", r"\[a\] thinking: True is not a text"),
        ("[a]\nthinking = 'never'", r"\[a\] thinking: 'never' is not auto or off"),
        ("[a]\nthinking = []", r"\[a\] thinking: \[\] is not a text"),
        ("[a]\nmax_thinking_tokens = 0", r"\[a\] max_thinking_tokens: 0 is not a whole number above 0"),
        ("[a]\nmax_thinking_tokens = true", r"\[a\] max_thinking_tokens: True is not a number"),
        ("[a.b]\ntop_k = 1", r'\[a\] b: is not a setting; a name with dots needs quotation marks: \["a.b"\]'),
    ],
)
def test_an_error_names_file_table_and_key(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(ValidationError, match=rf"^--model-settings: .*{named}"):
        read_model_settings(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"--model-settings: .*nowhere\.toml: .*No such file"):
        read_model_settings(tmp_path / "nowhere.toml")


def test_a_table_of_a_model_that_is_not_served_is_refused() -> None:
    require_served(Path("f.toml"), ["two"], ["one", "two"])
    with pytest.raises(
        ValidationError, match=r"f\.toml: \['three'\] is not a model of this server, which serves one, two"
    ):
        require_served(Path("f.toml"), ["two", "three"], ["one", "two", "one"])
