"""Lets atheris look for bytes that break a decoder, guided by the lines that they reach: `tox -e guided`.

`python -m tests.fuzz.guided SECONDS` gives each decoder of bytes as much time. What it finds is written to `crash-*`.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

GUIDED: Final = (
    "a Messages body",
    "a count body",
    "a chat body",
    "a completion body",
    "gzip",
    "a schema",
    "a GGUF header",
    "a safetensors header",
    "config.json",
)
MAX_BYTES: Final = 20_000


def main() -> int:
    if len(sys.argv) == 2:
        commands = [[sys.executable, "-m", "tests.fuzz.guided", sys.argv[1], name] for name in GUIDED]
        return max(subprocess.run(command, check=False).returncode for command in commands)
    _search(int(sys.argv[1]), sys.argv[2])
    return 0


def _search(seconds: int, name: str) -> None:
    """Does not return: libFuzzer ends the process."""
    import atheris  # noqa: PLC0415 - only the environment of `tox -e guided` has it

    with atheris.instrument_imports(include=["pensieve"]):
        from pensieve.core.errors import PensieveError  # noqa: PLC0415
        from tests.fuzz.decoders.catalogue import DECODERS  # noqa: PLC0415
    from werkzeug.exceptions import RequestEntityTooLarge  # noqa: PLC0415

    decoder, folder = DECODERS[name], Path(tempfile.mkdtemp())
    corpus = folder / "corpus"
    corpus.mkdir()
    (corpus / "seed").write_bytes(decoder.seed(folder))

    def read(data: bytes) -> None:
        with contextlib.suppress(PensieveError, RequestEntityTooLarge):
            decoder.read(data, folder)

    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_BYTES}",
        "-timeout=60",
        "-rss_limit_mb=4096",
        "-verbosity=0",
    ]
    atheris.Setup([name, *options, str(corpus)], read)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
