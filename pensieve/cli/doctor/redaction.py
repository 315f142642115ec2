"""Takes what is private out of a text, so that it can be pasted into a public bug report."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_SECRET_NAME: Final = re.compile(r"KEY|TOKEN|SECRET|PASS|AUTH|CREDENTIAL|COOKIE|PROXY", re.IGNORECASE)
_SECRET_SHAPE: Final = re.compile(r"\b(?:sk-[\w-]{8,}|hf_\w{8,}|gh[pousr]_\w{8,}|Bearer \S+)|(?<=://)[^/@\s]+@")
_MIN_SECRET: Final = 4
_MIN_NAME: Final = 3
_PUBLIC_FOLDERS: Final = ("usr", "opt", "lib", "bin", "sbin", "etc", "proc", "sys", "dev", "Library", "System")
_PATH: Final = re.compile(rf"(?<![\w.:/~])/(?!(?:{'|'.join(_PUBLIC_FOLDERS)})\b)[\w.@+-]+(?:/[\w.@+%-]+)+")
_PUBLIC_NAMES: Final = frozenset({"localhost", "root", "pensieve", "python", "claude"})


def redactor(environment: Mapping[str, str], private: Iterable[str] = ()) -> Callable[[str], str]:
    """A function that replaces secrets of the environment, the `private` parts that checks name, the home folder, the
    names of user and host (the longest first), then whatever looks like a key or a private path.
    """
    replaced = dict(_replacements(environment, private))
    patterns = [(_whole(old), replaced[old]) for old in sorted(replaced, key=len, reverse=True)]

    def redact(text: str) -> str:
        for pattern, new in patterns:
            text = pattern.sub(lambda _, new=new: new, text)  # type: ignore[misc]
        return _PATH.sub("<path>", _SECRET_SHAPE.sub("<secret>", text))

    return redact


def _whole(text: str) -> re.Pattern[str]:
    """`text`, but not within a longer word."""
    return re.compile(rf"(?<!\w){re.escape(text)}(?!\w)", re.IGNORECASE)


def _replacements(environment: Mapping[str, str], private: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in _hosts():
        yield name, "<host>"
    for name in _users(environment):
        yield name, "<user>"
    yield from ((folder, "~") for folder in _homes(environment))
    yield from ((text.strip(), "<private>") for text in private if len(text.strip()) >= _MIN_NAME)
    for name, value in environment.items():
        if _SECRET_NAME.search(name) and len(value) >= _MIN_SECRET:
            yield value, "<secret>"


def _hosts() -> set[str]:
    name = socket.gethostname()
    return {part for part in (name, name.partition(".")[0]) if _is_private_name(part)}


def _users(environment: Mapping[str, str]) -> set[str]:
    names = {
        environment.get("USER", ""),
        environment.get("LOGNAME", ""),
        *(Path(path).name for path in _homes(environment)),
    }
    with suppress(OSError, KeyError):
        names.add(getpass.getuser())
    return set(filter(_is_private_name, names))


def _homes(environment: Mapping[str, str]) -> set[str]:
    return {path for path in (environment.get("HOME", ""), os.path.expanduser("~")) if len(path) > 1}


def _is_private_name(name: str) -> bool:
    return len(name) >= _MIN_NAME and name.lower() not in _PUBLIC_NAMES
