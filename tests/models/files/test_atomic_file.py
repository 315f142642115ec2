"""A file is replaced completely or not at all, and nothing is left beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.models.files.atomic_file import atomic_file


@pytest.mark.parametrize("durable", [False, True])
def test_the_new_content_replaces_the_old_when_the_block_ends(tmp_path: Path, *, durable: bool) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(b"old")
    with atomic_file(path, durable=durable) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        _write_part(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_temporary_file_has_the_prefix_that_cleanups_look_for(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "block.kv", prefix=".writing-"):
        (temporary,) = tmp_path.iterdir()
    assert temporary.name.startswith(".writing-")


def _write_part(path: Path) -> None:
    with atomic_file(path) as file:
        file.write(b"ne")
        raise OSError("disk full")
