"""The file of named keys: its form, its errors, and changes while the server runs (W19)."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest

from pensieve.api.http.access import AccessRules
from pensieve.api.http.keys import MAX_BYTES, MAX_KEYS, KeyFile, KeyFileError, NamedKey, hashed
from pensieve.core.errors import AuthenticationError

ALICE, BOB, CI, EDITOR = "sk-of-alice", "sk-of-bob", "sk-of-ci", "sk-of-editor"
FOUR = f"""
alice = "{hashed(ALICE)}"
bob = "{BOB}"  # not hashed

[team]
ci = "{hashed(CI)}"
editor = "{hashed(EDITOR)}"
"""


def write(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def file_of(folder: Path, content: str | bytes = FOUR) -> Path:
    return write(folder / "keys.toml", content)


def test_each_key_has_a_name_and_keys_in_one_table_share_a_namespace(tmp_path: Path) -> None:
    keys = KeyFile(file_of(tmp_path))
    found = [keys.find(key) for key in (ALICE, BOB, CI, EDITOR)]
    assert [(key.name, key.namespace) for key in found if key] == [
        ("alice", "alice"),
        ("bob", "bob"),
        ("ci", "team"),
        ("editor", "team"),
    ]


@pytest.mark.parametrize("key", ["", "sk-of-alic", "sk-of-alice2", hashed(ALICE), hashed(ALICE)[7:], "ü", "\udcff"])
def test_nothing_else_is_a_key(key: str, tmp_path: Path) -> None:
    assert KeyFile(file_of(tmp_path)).find(key) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("alice = ", "Invalid value (at end of document)"),
        ("alice = 'a'\nalice = 'b'", "Cannot overwrite a value"),
        ("\nbob = 'b'\nalice = 5", "line 3: 'alice': the key must be a text"),
        ("bob = 'b'\n[team]\nbob = 'c'", "line 3: 'bob': there is another key of this name"),
        ("bob = 'secret-1'\nalice = 'secret-1'", "line 2: 'alice': it is the same key as bob's"),
        (f"bob = 'secret-1'\nalice = '{hashed('secret-1')}'", "line 2: 'alice': it is the same key as bob's"),
        ("alice = ''", "line 1: 'alice': a key must have visible ASCII"),
        ("alice = 'secret 1'", "line 1: 'alice': a key must have visible ASCII"),
        ("alice = 'sha256:secret-1'", "line 1: 'alice': sha256: must be followed by 64"),
        (f"alice = '{hashed('x')}0'", "line 1: 'alice': sha256: must be followed by 64"),
        ("'al ice' = 'a'", "line 1: 'al ice': a name may have"),
        ("[a.b]\nc = 'd'", "'b': the key must be a text"),
        ("", f"has 0 keys; it must have 1 to {MAX_KEYS}"),
        ("[team]", "has 0 keys"),
        ("\n".join(f"k{n} = 'key-{n}'" for n in range(MAX_KEYS + 1)), f"has {MAX_KEYS + 1} keys"),
        (b"\xff", "utf-8"),
        (b"#" * (MAX_BYTES + 1), "is larger than"),
        ("a." * 5000 + "b = 'x'", "keys.toml"),
    ],
)
def test_a_wrong_file_is_refused_by_its_name_and_line_without_its_keys(
    content: str | bytes, why: str, tmp_path: Path
) -> None:
    path = file_of(tmp_path, content)
    with pytest.raises(KeyFileError) as caught:
        KeyFile(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert why in message
    assert "secret-1" not in message


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644, 0o602, 0o620])
def test_a_file_that_others_can_use_is_refused_with_the_fix(mode: int, tmp_path: Path) -> None:
    path = write(tmp_path / "keys.toml", FOUR, mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {path}"):
        KeyFile(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        KeyFile(tmp_path / "keys.toml")
    with pytest.raises(KeyFileError, match="directory"):
        KeyFile(tmp_path)


def test_a_removed_key_stops_working_and_a_new_one_works_at_once(tmp_path: Path) -> None:
    path = file_of(tmp_path, "alice = 'key-1'")
    keys = KeyFile(path)
    assert keys.find("key-1") == NamedKey("alice", "alice", hashlib.sha256(b"key-1").digest())
    before = path.stat()
    write(path, "alice = 'key-2'")  # of the same size, and on a disk with coarse times at the same time
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert keys.find("key-1") is None
    assert keys.find("key-2") is not None


@pytest.mark.parametrize("damage", ["broken", "open to others", "gone", "empty"])
def test_a_file_that_becomes_wrong_is_logged_once_and_the_keys_stay_in_force(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = file_of(tmp_path)
    keys = KeyFile(path)
    match damage:
        case "broken":
            write(path, "alice = ")
        case "open to others":
            path.chmod(0o644)
        case "gone":
            path.unlink()
        case _:
            write(path, "")
    with caplog.at_level(logging.ERROR):
        assert all(keys.find(key) for key in (ALICE, BOB, ALICE))
    assert [record.message.startswith(str(path)) for record in caplog.records] == [True]
    assert "stay in force" in caplog.text
    write(path, "bob = 'another'")
    assert keys.find(ALICE) is None


@pytest.mark.parametrize("headers", [(BOB, None), (None, f"Bearer {BOB}"), ("wrong", f"bearer {BOB}")])
def test_a_named_key_identifies_its_client_wherever_it_calls_from(
    headers: tuple[str | None, str | None], tmp_path: Path
) -> None:
    access = AccessRules("127.0.0.1", keys=KeyFile(file_of(tmp_path)))
    client = access.client(*headers, "10.0.0.7")
    assert (client.name, client.namespace) == ("bob", "bob")
    with pytest.raises(AuthenticationError):
        access.client("sk-of-carol", None, "10.0.0.7")
    with pytest.raises(AuthenticationError, match="missing"):
        access.client(None, None, "10.0.0.7")


def test_the_single_key_works_beside_named_ones_and_has_the_cache_it_always_had(tmp_path: Path) -> None:
    access = AccessRules("127.0.0.1", api_key="single", keys=KeyFile(file_of(tmp_path)))
    client = access.client("single", None, "10.0.0.7")
    assert (client.name, client.namespace) == ("10.0.0.7", "")
    assert access.client(ALICE, None, "10.0.0.7").namespace == "alice"
