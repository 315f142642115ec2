"""Writes the table of faults: `python -m tests.engine.faults.document > docs/reliability-faults.md`, from the root."""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.engine.faults.fault import Kind, Stage
from tests.support.blas_first import BlasFirst

if TYPE_CHECKING:
    from tests.engine.faults.observed import Observed

DOCUMENT: Final = Path("docs/reliability-faults.md")
CASES: Final = (
    *((stage, kind) for stage in Stage for kind in (Kind.RAISE, Kind.KEEP_RAISING, Kind.HANG, Kind.SLOW)),
    (Stage.DECODE, Kind.PERSIST),
    (Stage.DECODE, Kind.EXIT),
    (Stage.REBUILD, Kind.PERSIST),
)
_ONLY_ONCE: Final = (Stage.RECEIVE, Stage.REBUILD)
_HEADER: Final = """\
# What a fault in the generation loop does

Each stage of the loop of the MLX thread raises, hangs or slows down, while one client streams an answer and another
waits for one without streaming. In the first four stages it is the second client's request that meets the fault; in the
others both are being decoded. `python -m tests.engine.faults.document` writes this page, and a test compares it.

A stage that raises SystemExit stands for whatever ends the thread. With exit status 70, the supervisor of
`pensieve serve`, or a service manager, starts a new process ([faults.md](faults.md)).

| stage | fault | request without streaming | stream | `/health` meanwhile | first error in the log | process |
|---|---|---|---|---|---|---|
"""


def cases() -> tuple[tuple[Stage, Kind], ...]:
    return tuple(case for case in CASES if not (case[0] in _ONLY_ONCE and case[1] is Kind.KEEP_RAISING))


def row(stage: Stage, kind: Kind, observed: Observed) -> str:
    cells = (observed.plain, observed.stream, observed.health, observed.log, observed.process)
    return f"| {stage.value} | {kind.value} | {' | '.join(cells)} |"


def committed(text: str) -> Mapping[tuple[str, str], str]:
    """The rows of a page by their stage and fault."""
    rows = re.findall(r"^\| ([\w ]+) \| ([\w ]+) \| .* \|$", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return {key: line for key, line in zip(rows, lines, strict=True) if key[0] != "stage"}


def main() -> None:
    sys.meta_path.insert(0, BlasFirst())
    from pensieve.models.files.progress import ConsoleProgress  # noqa: PLC0415 - it may import MLX
    from pensieve.models.library.resolve import resolve  # noqa: PLC0415
    from tests.engine.faults.observed import observe  # noqa: PLC0415
    from tests.support.tiny_model import write_byte_tokenizer, write_tiny_model  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as home:
        path = write_byte_tokenizer(Path(home) / "tiny")
        write_tiny_model(path, tokenizer_folder=path, vocab_size=259)
        folder = resolve(str(path), progress=ConsoleProgress())
        sys.stdout.write(_HEADER)
        for stage, kind in cases():
            print(row(stage, kind, observe(folder, stage, kind)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
