"""A changed byte in the weights is damage, unless the file has another time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.checksums import cached_sha256
from pensieve.models.files.progress import SilentProgress
from pensieve.models.loading.checks.integrity import require_unchanged


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PENSIEVE_HOME", str(tmp_path / "home"))
    folder = tmp_path / "model"
    folder.mkdir()
    path = folder / "model.safetensors"
    path.write_bytes(b"weights" * 1000)
    require_unchanged("tiny", folder, [path])
    return path


def flip_a_byte(path: Path) -> os.stat_result:
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(3000)
        file.write(b"!")
    return before


def test_unchanged_weights_are_accepted_and_nothing_is_written_beside_them(weights: Path) -> None:
    require_unchanged("tiny", weights.parent, [weights])
    assert list(weights.parent.iterdir()) == [weights]


def test_a_changed_byte_is_refused_with_the_file_and_the_fix(weights: Path) -> None:
    before = flip_a_byte(weights)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    for _ in range(2):
        with pytest.raises(ModelLoadingError, match=r"model.safetensors is damaged: .*fetch it again, or run `touch"):
            require_unchanged("tiny", weights.parent, [weights])


def test_weights_with_another_time_are_a_new_file_with_another_checksum(weights: Path) -> None:
    (before,) = cached_sha256([weights], SilentProgress())
    status = flip_a_byte(weights)
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    require_unchanged("tiny", weights.parent, [weights])
    assert cached_sha256([weights], SilentProgress()) != [before]
    require_unchanged("tiny", weights.parent, [weights])


def test_weights_that_cannot_be_read_are_named(weights: Path) -> None:
    with pytest.raises(ModelLoadingError, match=r"gone\.safetensors cannot be read"):
        require_unchanged("tiny", weights.parent, [weights.with_name("gone.safetensors")])
