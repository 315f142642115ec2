"""Named keys from a file, read again whenever it changes (W19).

The file is TOML: `name = key`, or `name = "sha256:…"` with the key's SHA-256 in hexadecimal. Keys in one table share
a prompt cache; a key outside a table has its own.

    alice = "sha256:2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"

    [team]
    ci = "sha256:…"
    editor = "sha256:…"
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

log = logging.getLogger(__name__)

MAX_KEYS: Final = 1000
MAX_BYTES: Final = 1_000_000
_HASHED: Final = "sha256:"
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_KEY: Final = re.compile(r"[!-~]+", re.ASCII)
_OTHERS: Final = 0o077
"""The permissions of a file's group and of all other users."""


class KeyFileError(ValueError):
    """The file cannot be used. The message names it, the line where there is one, and never a key."""


@dataclass(frozen=True, slots=True)
class NamedKey:
    """Clients whose keys have the same `namespace` share a prompt cache."""

    name: str
    namespace: str
    digest: bytes


class KeyFile:
    """The keys in force. A file that has become unusable changes nothing, apart from an error in the log."""

    def __init__(self, path: Path) -> None:
        """
        Raises:
            KeyFileError: the file cannot be read or is wrong, or other users can read it.
        """
        self._path = path
        self._version = _version(path)
        self._keys = parse_keys(path, _content(path, self._version))

    def find(self, key: str) -> NamedKey | None:
        """The entry of this key. Compares with every entry, so that the time taken does not depend on the key."""
        self._update()
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        found = [each for each in self._keys if hmac.compare_digest(each.digest, digest)]
        return found[0] if found else None

    def _update(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._keys = parse_keys(self._path, _content(self._path, version))
        except KeyFileError as error:
            log.error("%s; the keys read before stay in force", error)  # noqa: TRY400 - the sentence says it all
            return
        log.warning("%s has changed: %d keys are in force", self._path, len(self._keys))


_Version = tuple[int, bytes] | str
"""The permissions and the content of a file, or why it cannot be read."""


def _version(path: Path) -> _Version:
    """Reads the whole file, which takes some microseconds: two changes may have the same time and size."""
    try:
        with path.open("rb") as file:
            return stat.S_IMODE(os.fstat(file.fileno()).st_mode), file.read(MAX_BYTES + 1)
    except OSError as error:
        return error.strerror or str(error)


def _content(path: Path, version: _Version) -> bytes:
    """
    Raises:
        KeyFileError: it cannot be read, is too large, or other users may use it.
    """
    if isinstance(version, str):
        raise KeyFileError(f"{path}: {version}")
    mode, content = version
    if mode & _OTHERS:
        raise KeyFileError(f"{path}: other users of this machine can read or change it; run: chmod 600 {path}")
    if len(content) > MAX_BYTES:
        raise KeyFileError(f"{path}: is larger than {MAX_BYTES} bytes")
    return content


def parse_keys(path: Path, content: bytes) -> tuple[NamedKey, ...]:
    """
    Raises:
        KeyFileError: it is not TOML, a name or a key is wrong or occurs twice, or there are none.
    """
    try:
        text = content.decode("utf-8-sig")
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise KeyFileError(f"{path}: {error}") from None
    keys: dict[str, NamedKey] = {}
    for name, value, namespace in _entries(document):
        problem = _problem(name, value) or ("there is another key of this name" if name in keys else None)
        digest = b"" if problem else _digest(value)
        same = next((each.name for each in keys.values() if each.digest == digest), None)
        if problem is None and same is not None:
            problem = f"it is the same key as {same}'s"
        if problem is not None:
            raise KeyFileError(f"{path}, line {_line_of(name, text)}: {name[:64]!r}: {problem}")
        keys[name] = NamedKey(name, namespace, digest)
    if not 0 < len(keys) <= MAX_KEYS:
        raise KeyFileError(f"{path}: has {len(keys)} keys; it must have 1 to {MAX_KEYS}")
    return tuple(keys.values())


def _entries(document: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Names and values, with the namespace of each."""
    for name, value in document.items():
        if isinstance(value, dict):
            yield from ((inner, key, name) for inner, key in value.items())
        else:
            yield name, value, name


def _problem(name: str, value: Any) -> str | None:
    """What is wrong with an entry, without the key."""
    if not is_name(name):
        return "a name may have 1 to 64 letters, digits, - and _"
    if not isinstance(value, str):
        return "the key must be a text in quotation marks"
    if value.startswith(_HASHED):
        is_hash = _DIGEST.fullmatch(value.removeprefix(_HASHED))
        return None if is_hash else "sha256: must be followed by 64 lower-case hexadecimal digits"
    return None if _KEY.fullmatch(value) else "a key must have visible ASCII characters only, and at least one"


def _digest(value: str) -> bytes:
    if value.startswith(_HASHED):
        return bytes.fromhex(value.removeprefix(_HASHED))
    return hashlib.sha256(value.encode()).digest()


def is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None


def hashed(key: str) -> str:
    """The form of a key in a file that does not reveal it."""
    return _HASHED + hashlib.sha256(key.encode()).hexdigest()


def _line_of(name: str, text: str) -> int:
    """The line of an entry's last occurrence, from 1: that of two entries which is one too many."""
    begins = re.compile(rf"""\s*(["']?){re.escape(name)}\1\s*[=.]""")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if begins.match(line)]
    return lines[-1] if lines else 1
