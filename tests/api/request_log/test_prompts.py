"""`--log-prompts`: prompts and answers in files that only their owner can read, in a folder of limited size."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from pensieve.api.request_log.prompt_folder import PromptFolder
from pensieve.cli.settings.read import read_settings
from pensieve.cli.settings.settings import Settings
from pensieve.cli.wiring import components_for
from pensieve.core.errors import ValidationError
from tests.support.running_server import ask, running_server, settings_for


def settings(folder: Path, **flags: str) -> Settings:
    script = folder / "script.toml"
    script.write_text('[[reply]]\ntext = "The answer."', encoding="utf-8")
    return replace(settings_for(script=str(script), **flags), checked=False)


def test_prompt_and_answer_are_written_under_the_request_id(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "prompts"
    chosen = settings(tmp_path, log_prompts=str(folder), api_key="sk-the-key")
    with running_server(chosen, components_for(chosen)) as url:
        keys = {"x-api-key": "sk-the-key"}
        answer = httpx.post(f"{url}/v1/messages", json=ask("The question."), headers=keys)
        httpx.get(f"{url}/v1/models", headers=keys)
    assert str(folder) in caplog.text, "a warning says where text is written"
    files = {path.name.partition(".")[2]: path for path in folder.iterdir()}
    assert set(files) == {"request.json", "answer.txt"}
    assert json.loads(files["request.json"].read_bytes()) == ask("The question.")
    assert files["answer.txt"].read_bytes() == answer.content
    for path in files.values():
        assert answer.headers["request-id"] in path.name
        assert path.stat().st_mode & 0o777 == 0o600
        assert b"sk-the-key" not in path.read_bytes()
    assert folder.stat().st_mode & 0o777 == 0o700


def test_nothing_is_written_by_default(tmp_path: Path) -> None:
    assert read_settings(argparse.Namespace(), environment={}).log_prompts is None
    assert components_for(settings(tmp_path)).prompt_folder is None


def test_a_folder_that_others_can_read_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ValidationError, match=f"--log-prompts: others can read {tmp_path}: run chmod 700"):
        PromptFolder(tmp_path)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ValidationError, match=r"--log-prompts: .* cannot be written: "):
        PromptFolder(tmp_path / "file" / "prompts")


def test_the_oldest_files_are_removed_when_the_folder_is_full(tmp_path: Path) -> None:
    folder = PromptFolder(tmp_path / "prompts", max_bytes=1000)
    (folder.path / "notes.txt").write_text(500 * "x")
    for number in range(30):
        folder.append(f"20260101-0000{number:02}-req_{number}.request.json", 100 * b"x")
    kept = sorted(path.name for path in folder.path.iterdir())
    assert kept[-2] == "20260101-000029-req_29.request.json"
    assert 8 <= len(kept) - 1 <= 10
    assert kept[-1] == "notes.txt", "what it did not write stays"


def test_a_disk_that_cannot_be_written_costs_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = PromptFolder(tmp_path / "prompts")
    folder.path.rmdir()
    for _ in range(3):
        folder.append("name", b"data")
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_the_number_of_files_is_limited(tmp_path: Path) -> None:
    folder = PromptFolder(tmp_path / "prompts", max_files=20)
    for number in range(50):
        folder.append(f"20260101-0000{number:02}-req_{number}.request.json", b"x")
    assert 18 <= len(list(folder.path.iterdir())) <= 20


def test_half_of_what_is_free_is_left_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2000))
    folder = PromptFolder(tmp_path / "prompts")
    for number in range(30):
        folder.append(f"20260101-0000{number:02}-req_{number}.request.json", 100 * b"x")
    assert 9 <= len(list(folder.path.iterdir())) <= 10


def test_the_rest_of_a_refused_body_is_not_written(tmp_path: Path) -> None:
    folder = tmp_path / "prompts"
    chosen = settings(tmp_path, log_prompts=str(folder), api_key="sk-the-key")
    with running_server(chosen, components_for(chosen)) as url:
        assert httpx.post(f"{url}/v1/messages", content=b" " * 20_000_000).status_code == 401
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000
