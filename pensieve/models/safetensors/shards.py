"""Which of a folder's files hold the model's weights, and whether all of them are there.

mlx-lm reads every `model*.safetensors` and does not look at the index. So a stray file beside indexed shards would put
its tensors among theirs, and an index that was left behind by an older form of the model means nothing.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

_INDEX: Final = "model.safetensors.index.json"
_WHOLE: Final = "model.safetensors"
_SHARD: Final = re.compile(r"(?P<name>.+)-\d{5}-of-(?P<count>\d{5})\.safetensors")


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, sorted: those of the index where all of them are there; else a file that is the
    whole model; else whatever mlx-lm would read.
    """
    there = {path.name: path for path in sorted(folder.glob("model*.safetensors"))}
    indexed = _indexed(folder)
    if indexed and all(name in there for name in indexed):
        return [there[name] for name in indexed]
    return [there[_WHOLE]] if indexed and _WHOLE in there else list(there.values())


def stray_weight_files(folder: Path) -> list[Path]:
    """Files that mlx-lm would read though they are not part of the model."""
    used = set(weight_files(folder))
    return [path for path in sorted(folder.glob("model*.safetensors")) if path not in used]


def missing_weights(folder: Path) -> list[str]:
    """Names of files of weights that the folder lacks, as far as its index, or the names of its shards, tell."""
    there = {path.name for path in weight_files(folder)}
    if not there:
        return _indexed(folder) or [_WHOLE]
    if _WHOLE in there:
        return []
    return [name for name in _indexed(folder) or _numbered(there) if name not in there]


def _indexed(folder: Path) -> list[str]:
    """Sorted; none, where there is no index that can be read."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return sorted({str(name) for name in index["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []


def _numbered(there: set[str]) -> list[str]:
    """All the shards of a set, by the names of those that are there: they say how many there are."""
    found = [_SHARD.fullmatch(name) for name in sorted(there)]
    if len({(match["name"], match["count"]) for match in found if match}) != 1 or not all(found):
        return []
    first = next(match for match in found if match)
    return [f"{first['name']}-{n:05}-of-{first['count']}.safetensors" for n in range(1, int(first["count"]) + 1)]
