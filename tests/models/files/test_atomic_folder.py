"""Folders exist complete or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.atomic_folder import MANIFEST, is_complete, make_folder
from pensieve.models.files.progress import SilentProgress


def fill(folder: Path) -> None:
    (folder / "a").write_text("content")
    (folder.parent / "work").write_text("left behind")


def make(folder: Path, filler: object = fill, needed_bytes: int = 1) -> None:
    assert callable(filler)
    make_folder(folder, filler, source="a model", needed_bytes=needed_bytes, progress=SilentProgress())


def test_a_complete_folder_is_not_created_again(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "one"
    filled: list[Path] = []

    def fill_and_count(empty: Path) -> None:
        filled.append(empty)
        fill(empty)

    for _ in range(2):
        make(folder, fill_and_count)
    assert len(filled) == 1
    assert is_complete(folder)
    assert {path.name for path in folder.iterdir()} == {"a", MANIFEST}
    assert {path.name for path in folder.parent.iterdir()} == {"one", ".one.lock"}


def test_an_error_leaves_only_the_lock(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        fill(folder)
        raise ModelLoadingError("a model", "no")

    with pytest.raises(ModelLoadingError, match="no"):
        make(tmp_path / "one", fail)
    assert {path.name for path in tmp_path.iterdir()} == {".one.lock"}


def test_leftovers_of_a_dead_process_are_removed_but_not_other_folders_in_progress(tmp_path: Path) -> None:
    (tmp_path / ".making-one-dead").mkdir()
    (tmp_path / ".making-one-dead" / "half").touch()
    (tmp_path / ".making-two-living").mkdir()
    make(tmp_path / "one")
    assert {path.name for path in tmp_path.iterdir()} == {"one", ".one.lock", ".making-two-living"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "a").write_text("short"),
        lambda folder: (folder / "a").unlink(),
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / MANIFEST).write_text("{"),
        lambda folder: (folder / MANIFEST).write_text("[]"),
        lambda folder: (folder / MANIFEST).write_text('{"format": 0, "files": {}}'),
    ],
)
def test_a_damaged_folder_is_created_again(tmp_path: Path, damage: object) -> None:
    folder = tmp_path / "one"
    make(folder)
    assert callable(damage)
    damage(folder)
    assert not is_complete(folder)
    make(folder)
    assert (folder / "a").read_text() == "content"
    assert is_complete(folder)


def test_a_disk_that_fills_up_is_reported_with_the_size_needed(tmp_path: Path) -> None:
    def fail(_: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ModelLoadingError, match=r"cannot load a model: the disk of .* is full: 5 MB are needed"):
        make(tmp_path / "one", fail, needed_bytes=5_000_000)


def test_a_parent_that_cannot_be_written_is_reported_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelLoadingError, match=r"cannot be written .*; set PENSIEVE_HOME to a folder that can"):
        make(tmp_path / "file" / "one")
