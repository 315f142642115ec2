from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pensieve.core.errors import ValidationError
from pensieve.models.files.home import HOME_VARIABLE, home_problem, private_folder, writable_home


def mode_of(folder: Path) -> int:
    return stat.S_IMODE(folder.stat().st_mode)


def test_a_home_that_can_be_made_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "new" / "home"))
    assert home_problem() is None


@pytest.mark.parametrize("below", ["", "home", "deep/home"])
def test_a_home_in_a_file_is_named_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(HOME_VARIABLE, str(file / below))
    assert home_problem() == f"{file} is a file, not a folder; set PENSIEVE_HOME to a folder that can be written"


def test_a_home_of_an_unknown_user_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOME_VARIABLE, "~no-such-user/pensieve")
    problem = home_problem()
    assert problem is not None
    assert "PENSIEVE_HOME" in problem


def test_a_users_own_home_that_is_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.delenv(HOME_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(file))
    assert f"{file} is a file" in str(home_problem())


def test_a_home_that_cannot_be_created_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)  # beyond what file systems allow
    monkeypatch.setenv(HOME_VARIABLE, str(folder))
    with pytest.raises(ValidationError, match=rf"^PENSIEVE_HOME: cannot create {folder} \(.*\); set PENSIEVE_HOME to"):
        writable_home()


def test_a_home_that_cannot_be_written_is_named_with_the_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    assert writable_home() == tmp_path
    monkeypatch.setattr(os, "access", lambda *_: False)  # the superuser may write everywhere
    with pytest.raises(ValidationError, match=rf"^PENSIEVE_HOME: {tmp_path} cannot be written; set PENSIEVE_HOME to"):
        writable_home()


def test_a_private_folder_is_closed_to_other_users_even_if_it_was_open(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    assert mode_of(private_folder(folder)) == 0o700
    folder.chmod(0o755)
    assert mode_of(private_folder(folder)) == 0o700
