"""names.json in Pensieve's home: imported models and pinned hub revisions.

It is changed under a lock and by renaming, so a reader sees all of a change or none of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.atomic_file import atomic_file
from pensieve.models.files.home import home


def _file() -> Path:
    return home() / "names.json"


def read_names() -> dict[str, Any]:
    """
    Raises:
        ModelLoadingError: the file is there and cannot be understood.
    """
    try:
        content = json.loads(_file().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelLoadingError(
            "the names of models", f"{_file()} cannot be read: {error}; mend or remove it"
        ) from error
    if not isinstance(content, dict):
        raise ModelLoadingError("the names of models", f"{_file()} is no object of JSON; mend or remove it")
    return content


@contextmanager
def changed_names(name: str) -> Iterator[dict[str, Any]]:
    """The file's content, to be changed; written when the block ends well."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(_file().with_name(".names.lock")):
            content = read_names()
            yield content
            with atomic_file(_file()) as file:
                file.write(json.dumps(content, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise ModelLoadingError(
            name, f"{_file()} cannot be written ({error}); set PENSIEVE_HOME to a folder that can"
        ) from error
