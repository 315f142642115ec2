"""Checksums are cached in one file, which other versions and accidents may have written to."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pensieve.models.files.checksums import cached_sha256, sha256_of
from pensieve.models.files.progress import SilentProgress

CONTENT = b"weights"
SUM = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    path = tmp_path / "model.safetensors"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def memo(file: Path) -> Path:
    return file.parent / "home" / "file-sums.json"


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    paths: list[Path] = []

    def counted(path: Path, report: Callable[[int], None]) -> str:
        paths.append(path)
        return sha256_of(path, report)

    monkeypatch.setattr("pensieve.models.files.checksums.sha256_of", counted)
    return paths


def cached(*paths: Path) -> list[str]:
    return cached_sha256(paths, SilentProgress())


def test_a_file_is_read_again_only_when_it_has_changed(file: Path, reads: list[Path]) -> None:
    other = file.with_name("other.safetensors")
    other.write_bytes(b"other weights")
    sums = [SUM, hashlib.sha256(b"other weights").hexdigest()]
    assert cached(file, other) == cached(file, other) == sums
    assert reads == [file, other]
    file.write_bytes(b"WEIGHTS")
    os.utime(file, ns=(0, 1))
    assert cached(file) == [hashlib.sha256(b"WEIGHTS").hexdigest()]
    assert reads == [file, other, file]


def test_entries_of_older_versions_are_ignored(file: Path, memo: Path) -> None:
    status = file.stat()
    older = {f"{file.resolve()} {status.st_size} {status.st_mtime_ns}": "0" * 64, "anything": {"else": 1}}
    memo.parent.mkdir()
    memo.write_text(json.dumps(older), encoding="utf-8")
    assert cached(file) == [SUM]
    assert json.loads(memo.read_text(encoding="utf-8")).items() >= older.items()


@pytest.mark.parametrize("content", ["{", "[]", "3", ""])
def test_a_damaged_memo_is_replaced(file: Path, memo: Path, content: str) -> None:
    memo.parent.mkdir()
    memo.write_text(content, encoding="utf-8")
    assert cached(file) == [SUM]
    assert list(json.loads(memo.read_text(encoding="utf-8")).values()) == [SUM]


def test_a_damaged_entry_is_replaced(file: Path, memo: Path) -> None:
    cached(file)
    memo.write_text(json.dumps(dict.fromkeys(json.loads(memo.read_text(encoding="utf-8")), 7)), encoding="utf-8")
    assert cached(file) == [SUM]


def test_a_home_that_cannot_be_written_costs_time_alone(file: Path, memo: Path) -> None:
    memo.parent.touch()
    assert cached(file) == [SUM]
