"""Writes docs/model-types.md from the matrix's results: python -m tests.dialects.matrix.table"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.dialects.matrix.coverage import IN_MLX_LMS_CACHES, NOT_BUILT
from tests.dialects.matrix.model_types import TYPES
from tests.dialects.matrix.row import compared

PATH: Final = Path(__file__).parents[3] / "docs" / "model-types.md"
_TOP: Final = """# Model types

A small model of each of mlx-lm's types, with random f32 weights, is served by the engine on a CPU, and its answers are
compared with mlx-lm's own `stream_generate` at temperature 0, token for token. `tests/dialects/matrix` writes this
table, and fails if the table is out of date.

- **equals mlx-lm**: whether the answer to one request is mlx-lm's.
- **three at once**: how three concurrent requests of different lengths run; each gets the answer that it gets alone.
  *batched*: together. *batched; prompts one at a time*: in mlx-lm's model the padding of a shorter prompt changes its
  answer, so prompts are prefilled one after another, and answers are decoded together. *a pass for each*: mlx-lm's
  model fails on a batch, or answers differently, so each step has a pass for each request. (A model that keeps more of
  a request than its caches would answer one request at a time; there is none.) The server tests the model when it
  loads it, and logs the result.
- **second turn**: the next request of a conversation. *cached*: the earlier tokens came from the prompt cache, and the
  answer is the same as without it.

"""
_HEAD: Final = "| model type | equals mlx-lm | three at once | second turn | note |\n|---|---|---|---|---|\n"
_CACHES: Final = """
## In mlx-lm's own caches

The requests of every other type are rows: each has memory of its own, joins the others without a copy, and drops
rejected drafts at no cost. These are not, and `/health` says so of a loaded model (`kernels`).

"""
_LEFT_OUT: Final = "\n## Not in the matrix\n\n"


def document(lines: Iterable[str]) -> str:
    rows = "".join(f"{line}\n" for line in lines)
    return _TOP + _HEAD + rows + _CACHES + _listed(IN_MLX_LMS_CACHES) + _LEFT_OUT + _listed(NOT_BUILT)


def _listed(reasons: Mapping[str, str]) -> str:
    return "".join(f"- {model_type}: {reason}.\n" for model_type, reason in sorted(reasons.items()))


def measured_line(model_type: str) -> str:
    with TemporaryDirectory() as folder:
        return asyncio.run(compared(model_type, Path(folder))).line


if __name__ == "__main__":
    PATH.write_text(document([measured_line(model_type) for model_type in TYPES]), encoding="utf-8")
