"""Reading a JSON file that anyone may have written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

_MAX_BYTES: Final = 64_000_000
"""Far more than any configuration has."""


def read_json(path: Path, encoding: str = "utf-8") -> Any:
    """
    Raises:
        OSError: the file cannot be read.
        ValueError: it is not JSON, too large, or nested too deeply. The message does not name the file.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES // 10**6} MB")
    try:
        return json.loads(path.read_text(encoding=encoding))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
