"""docs/model-types.md, from what the matrix has seen. To write it: python -m tests.dialects.matrix.table"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.dialects.matrix.coverage import NOT_BUILT
from tests.dialects.matrix.model_types import TYPES
from tests.dialects.matrix.row import judged

PLACE: Final = Path(__file__).parents[3] / "docs" / "model-types.md"
_TOP: Final = """# Model types

Each model type of mlx-lm, built small from random f32 weights, served by the engine on a CPU, and compared with
mlx-lm's own `stream_generate` at temperature 0, token for token. `tests/dialects/matrix` writes this table, and fails
when it is out of date.

- **equals mlx-lm**: an answer to one request.
- **three at once**: three requests of different lengths at the same time, each of which gets the answer that it gets
  alone. *batched*: in one pass. *batched; prompts one at a time*: mlx-lm's model lets the padding of a shorter prompt
  into its answer, so prompts are read one after another and the answers are decoded together. *one at a time*: mlx-lm's
  model fails with several requests, or says something else, so they wait for each other. Which it is, is found out when
  the model is loaded, by running it, and is in the log.
- **second turn**: the next request of a conversation; *cached* where what came before was read from the prompt cache,
  with the answer that it has without.

"""
_HEAD: Final = "| model type | equals mlx-lm | three at once | second turn | note |\n|---|---|---|---|---|\n"
_LEFT_OUT: Final = "\n## Not in the matrix\n\n"


def written(lines: Iterable[str]) -> str:
    """The whole document."""
    left_out = "".join(f"- {model_type}: {reason}.\n" for model_type, reason in sorted(NOT_BUILT.items()))
    return _TOP + _HEAD + "".join(f"{line}\n" for line in lines) + _LEFT_OUT + left_out


def seen(model_type: str) -> str:
    with TemporaryDirectory() as folder:
        return asyncio.run(judged(model_type, Path(folder))).line


if __name__ == "__main__":
    PLACE.write_text(written([seen(model_type) for model_type in TYPES]), encoding="utf-8")
