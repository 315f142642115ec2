"""`pensieve keys add` makes a key that a server accepts, and keeps only its hash."""

from __future__ import annotations

from pathlib import Path

import pytest

from pensieve.api.http.keys import KeyFile
from pensieve.cli.main import main


def add(name: str, path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["keys", "add", name, "--api-keys", str(path)]) == 0
    return capsys.readouterr().out.strip()


def test_a_key_is_printed_once_and_only_its_hash_is_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "keys.toml"
    alice, bob = add("alice", path, capsys), add("bob", path, capsys)
    assert path.stat().st_mode & 0o777 == 0o600
    assert alice not in path.read_text()
    keys = KeyFile(path)
    found = [keys.find(alice), keys.find(bob)]
    assert [key.name for key in found if key] == ["alice", "bob"]


def test_a_key_that_is_added_joins_no_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("# Ours\n[team]\nci = 'key-of-ci'\n")
    path.chmod(0o600)
    key = add("alice", path, capsys)
    found = KeyFile(path).find(key), KeyFile(path).find("key-of-ci")
    assert [(each.name, each.namespace) for each in found if each] == [("alice", "alice"), ("ci", "team")]
    assert "# Ours" in path.read_text()


@pytest.mark.parametrize("name", ["ci", "team", "a.b", "a b", "", "ü", 'a"'])
def test_a_name_that_is_taken_or_wrong_changes_nothing(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.toml"
    content = "[team]\nci = 'key-of-ci'\n"
    path.write_text(content)
    path.chmod(0o600)
    assert main(["keys", "add", name, "--api-keys", str(path)]) != 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "pensieve: " in shown.err
    assert path.read_text() == content


def test_the_file_may_be_named_by_the_server_s_variable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSIEVE_API_KEYS", str(tmp_path / "keys.toml"))
    assert main(["keys", "add", "alice"]) == 0
    assert KeyFile(tmp_path / "keys.toml").find(capsys.readouterr().out.strip()) is not None
    monkeypatch.delenv("PENSIEVE_API_KEYS")
    assert main(["keys", "add", "alice"]) == 2
    assert "--api-keys" in capsys.readouterr().err


def test_a_key_is_added_to_the_file_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = add("alice", tmp_path / "keys.toml", capsys)
    (tmp_path / "config.toml").write_text("api_keys = 'keys.toml'", encoding="utf-8")
    monkeypatch.setenv("PENSIEVE_CONFIG", str(tmp_path / "config.toml"))
    assert main(["keys", "add", "bob"]) == 0
    keys = KeyFile(tmp_path / "keys.toml")
    assert all(keys.find(key) for key in (alice, capsys.readouterr().out.strip()))
