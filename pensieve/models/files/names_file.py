"""names.json in Pensieve's home: imported models and pinned hub revisions.

Writers hold a lock, and the file is replaced atomically, so readers need no lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from filelock import FileLock

from pensieve.core.errors import ModelLoadingError
from pensieve.models.files.atomic_file import atomic_file
from pensieve.models.files.home import home
from pensieve.models.files.json_file import read_json

_SUBJECT: Final = "the names of models"


def names_file() -> Path:
    return home() / "names.json"


def read_names() -> dict[str, Any]:
    """
    Raises:
        ModelLoadingError: the file exists but is not a readable JSON object of objects.
    """
    try:
        content = read_json(names_file())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelLoadingError(_SUBJECT, f"{names_file()} cannot be read: {error}; fix or remove it") from error
    if not isinstance(content, dict):
        raise ModelLoadingError(_SUBJECT, f"{names_file()} is not a JSON object; fix or remove it")
    for key in ("models", "pulled"):
        if not isinstance(content.get(key, {}), dict):
            raise ModelLoadingError(_SUBJECT, f"{key!r} in {names_file()} is not a JSON object; fix or remove it")
    return content


@contextmanager
def edited_names(name: str) -> Iterator[dict[str, Any]]:
    """The content of names.json for the block to change. It is written if the block ends without an error.

    Raises:
        ModelLoadingError: the file cannot be read or written; `name` is the model that the error reports.
    """
    try:
        names_file().parent.mkdir(parents=True, exist_ok=True)
        with FileLock(names_file().with_name(".names.lock")):
            content = read_names()
            yield content
            with atomic_file(names_file()) as file:
                file.write(json.dumps(content, indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise ModelLoadingError(
            name, f"{names_file()} cannot be written ({error}); set PENSIEVE_HOME to a folder that can"
        ) from error
