"""Ids that no vocabulary has are found in its file, which is parsed only for a number that looks like one."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.loading.checks.token_ids import require_possible_ids


def checked(folder: Path, text: str) -> None:
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    require_possible_ids("model", folder)


@pytest.mark.parametrize("token_id", ["-1", "10000001", "4294967295", "1e9", "1.5"])
def test_an_impossible_id_is_refused_with_its_token(tmp_path: Path, token_id: str) -> None:
    with pytest.raises(ModelLoadingError, match="the token 'x' has the id"):
        checked(tmp_path, f'{{"model": {{"vocab": {{"x": {token_id}}}}}}}')


def test_tokens_of_colons_and_dashes_are_no_reason_to_parse_the_file(tmp_path: Path) -> None:
    """Most vocabularies have some. This file ends in the middle, so parsing it would fail."""
    checked(tmp_path, '{"model": {"vocab": {":-": 201, ":-)": 7, ": -": 8, "\\":-": 531, ":-------": 9')
