"""Token ids that no vocabulary has. The `tokenizers` library reserves memory for all ids up to the largest one, and
ends the process if it gets none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pensieve.core.errors import ModelLoadingError

_FILES: Final = ("tokenizer.json", "vocab.json", "added_tokens.json")
_LARGE: Final = re.compile(rb'"\s*:\s*(?:\d{8,}|-\d|\d+[.eE])')
"""A quick search: parsing the file would take longer than all else that is checked. Most vocabularies have tokens such
as `:-`, which are not numbers.
"""
_MAX_ID: Final = 10_000_000


def require_possible_ids(source: str, folder: Path) -> None:
    """
    Raises:
        ModelLoadingError: an id is too large; it names the file and the token.
    """
    for path in (folder / name for name in _FILES):
        try:
            data = path.read_bytes()
        except OSError:
            continue
        if _LARGE.search(data):
            _require(source, path, data)


def _require(source: str, path: Path, data: bytes) -> None:
    try:
        ids = list(_ids(json.loads(data)))
    except (ValueError, RecursionError, AttributeError, TypeError) as error:
        raise ModelLoadingError(source, f"{path} cannot be read: {str(error)[:200]}; fetch it again") from error
    for token, token_id in ids:
        if not isinstance(token_id, int) or not 0 <= token_id <= _MAX_ID:
            raise ModelLoadingError(
                source, f"{path}: the token {token!r:.40} has the id {token_id!r:.40}; fetch the file again"
            )


def _ids(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if "model" not in content:
        yield from content.items()
        return
    vocabulary = content["model"].get("vocab")
    if isinstance(vocabulary, dict):
        yield from vocabulary.items()
    for token in content.get("added_tokens") or ():
        yield str(token.get("content")), token.get("id")
