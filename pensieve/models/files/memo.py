"""Values that take seconds to compute, kept in a JSON file in Pensieve's home: checksums, measurements of a machine."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any, Final

from pensieve.models.files.atomic_file import atomic_file
from pensieve.models.files.home import home
from pensieve.models.files.json_file import read_json

_MAX_ENTRIES: Final = 1000


class Memo:
    """One file of values by key. A missing or damaged file, or one that cannot be written, costs time alone."""

    def __init__(self, file_name: str) -> None:
        self._path = home() / file_name

    def read(self) -> dict[str, Any]:
        """All entries, oldest first. Those of other versions are among them: check what a key returns."""
        try:
            content = read_json(self._path)
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def add(self, entries: Mapping[str, Any]) -> None:
        """Add or replace entries; beyond a thousand, the oldest are dropped."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            merged = {key: value for key, value in self.read().items() if key not in entries} | dict(entries)
            kept = dict(list(merged.items())[-_MAX_ENTRIES:])
            with atomic_file(self._path) as file:
                file.write(json.dumps(kept).encode())
