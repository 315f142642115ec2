"""Whether all the files that a model's weights are spread over are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

_INDEX: Final = "model.safetensors.index.json"


def missing_weights(folder: Path) -> list[str]:
    """Names of files of weights that the folder lacks, as far as its index tells; none, where it has no index."""
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        wanted = sorted({str(name) for name in index["weight_map"].values()})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        wanted = []
    there = {path.name for path in folder.glob("model*.safetensors")}
    return [name for name in wanted if name not in there] if wanted else ([] if there else ["model.safetensors"])
