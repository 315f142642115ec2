"""Which files of a folder hold the model's weights, and whether all of them are present.

mlx-lm reads every `model*.safetensors` and ignores the index. So it would mix the tensors of a stray file into those of
the indexed shards; and an index left over from an older layout of the model must not count.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

_INDEX: Final = "model.safetensors.index.json"
_SINGLE_FILE: Final = "model.safetensors"
_SHARD: Final = re.compile(r"(?P<name>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors")


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, sorted: the indexed files if all of them exist, else the single file if there is
    an index, else whatever mlx-lm would read.
    """
    present = {path.name: path for path in sorted(folder.glob("model*.safetensors"))}
    indexed = _indexed(folder)
    if indexed and all(name in present for name in indexed):
        return [present[name] for name in indexed]
    return [present[_SINGLE_FILE]] if indexed and _SINGLE_FILE in present else list(present.values())


def stray_weight_files(folder: Path) -> list[Path]:
    """Files that mlx-lm would read although they are not part of the model."""
    used = set(weight_files(folder))
    return [path for path in sorted(folder.glob("model*.safetensors")) if path not in used]


def missing_weights(folder: Path) -> list[str]:
    """The names of missing weight files, judged by the index or by the numbers in the shards' names."""
    present = {path.name for path in weight_files(folder)}
    if not present:
        return _indexed(folder) or [_SINGLE_FILE]
    if _SINGLE_FILE in present:
        return []
    return [name for name in _indexed(folder) or _numbered(present) if name not in present]


def _indexed(folder: Path) -> list[str]:
    """The files in the index, sorted; empty without a readable index."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return sorted({str(name) for name in index["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []


def _numbered(present: set[str]) -> list[str]:
    """All shards of a set: each name has the number of shards in it."""
    found = [_SHARD.fullmatch(name) for name in sorted(present)]
    if len({(match["name"], match["count"]) for match in found if match}) != 1 or not all(found):
        return []
    first = next(match for match in found if match)
    return [f"{first['name']}-{n:05}-of-{first['count']}.safetensors" for n in range(1, int(first["count"]) + 1)]
