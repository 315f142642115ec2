"""Checks of what lies on disk: the checksums of models, and the prompt cache. They change nothing."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pensieve.cli.doctor.check import CheckResult, Subject, ok, problem
from pensieve.cli.sizes import format_size
from pensieve.core.errors import PensieveError
from pensieve.models.files.atomic_folder import is_complete, recorded_sha256
from pensieve.models.files.home import home, models_folder
from pensieve.models.files.progress import Progress
from pensieve.models.library.embedded import SMOLLM2
from pensieve.models.library.names import NamedModel
from pensieve.models.library.source import EmbeddedSource, FolderSource, parse_source
from pensieve.models.library.user_path import user_path

if TYPE_CHECKING:
    from pensieve.models.library.source import Source

_SHA1_DIGITS, _SHA256_DIGITS = 40, 64
_BLOBS: Final = "blobs"
_ANSWERS: Final = "answers"


def models(subject: Subject) -> CheckResult:
    """Compares the files of the models that a server would load with the checksums of when they were fetched."""
    settings = subject.served
    names = dict.fromkeys((settings.model or SMOLLM2.name, *settings.allow_models, settings.draft_model))
    phrases, private = [], []
    for name in filter(None, names):
        try:
            folder = _local_folder(parse_source(name))
        except PensieveError as error:
            return problem(str(error), "correct the name, or `pensieve models list` for those that are here", name)
        private += [str(folder or ""), *_private_name(name)]
        found = _differing(folder, subject) if folder is not None else None
        if found is None:
            phrases.append(f"{name} is fetched when it is first served")
        elif found:
            fix = f"`pensieve models remove {name}`, then `pensieve models pull {name}`"
            return problem(f"{name} is damaged: {', '.join(found)}", fix, *private)
        else:
            phrases.append(f"{name} is {'complete' if subject.quick else 'what was fetched'}")
    return ok(", ".join(phrases), *private)


def _private_name(name: str) -> list[str]:
    """The name of a file or folder may say what it is about; those on the hub and the embedded one are public."""
    return [] if name == SMOLLM2.name or not os.path.exists(user_path(name)) else [name]


def _local_folder(source: Source) -> Path | None:
    """Where the model is on this machine, without fetching anything; None if it is not."""
    match source:
        case EmbeddedSource():
            folder = models_folder() / SMOLLM2.name
        case FolderSource(path):
            folder = path
        case NamedModel():
            folder = Path(source.path)
        case _:
            from pensieve.models.hub.local import local_copy  # noqa: PLC0415 - half a second
            from pensieve.models.library.aliases import CuratedModel  # noqa: PLC0415
            from pensieve.models.library.source import GgufSource  # noqa: PLC0415

            if isinstance(source, GgufSource):
                return None  # it is compared with the converted folder's manifest when it is loaded
            copy = local_copy(source.hub if isinstance(source, CuratedModel) else source)
            return copy.path if copy is not None else None
    return folder if folder.exists() else None


def _differing(folder: Path, subject: Subject) -> list[str]:
    """What is wrong with a folder's files. A quick examination looks at their sizes alone."""
    if _is_made_here(folder) and not is_complete(folder):
        return ["files are missing or have another size"]
    if subject.quick:
        return []
    return [
        f"{path.name} has changed" for path, expected in _expected(folder) if _sum(path, expected, subject.progress)
    ]


def _is_made_here(folder: Path) -> bool:
    return folder.parent == models_folder()


def _expected(folder: Path) -> Iterator[tuple[Path, str]]:
    """Files whose checksum is known: from our manifest, or from huggingface_hub, which names its blobs by it."""
    if _is_made_here(folder):
        yield from ((folder / name, digest) for name, digest in recorded_sha256(folder).items())
        return
    for path in sorted(folder.rglob("*")):
        blob = path.resolve()
        if path.is_symlink() and blob.parent.name == _BLOBS and len(blob.name) in {_SHA1_DIGITS, _SHA256_DIGITS}:
            yield path, blob.name


def _sum(path: Path, expected: str, progress: Progress) -> bool:
    """Whether the file's checksum is another one."""
    size = path.stat().st_size
    is_git = len(expected) == _SHA1_DIGITS
    digest = hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False) if is_git else hashlib.sha256()
    num_bytes = 0
    with path.open("rb") as file, progress.track(f"Reading {path.name}", size) as report:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            num_bytes += len(chunk)
            report(num_bytes)
    return digest.hexdigest() != expected


def cache(_: Subject) -> CheckResult:
    """Reads the header of every block, and the pages of every database of answers."""
    from pensieve.engine.prompt_cache.disk.folder import KV_FOLDER, KVFolder  # noqa: PLC0415 - not needed for --help

    folder = home() / KV_FOLDER
    sizes: list[int] = []
    damaged: list[int] = []
    for path in sorted(folder.glob("*.kv")):
        (sizes if _is_sound_block(path) else damaged).append(path.stat().st_size)
    aside_bytes = KVFolder(folder).aside_bytes()
    answers = [path.name for path in sorted((home() / _ANSWERS).glob("*.db")) if not _is_sound_database(path)]
    what = f"{len(sizes)} blocks of KV, {format_size(sum(sizes))}"
    if answers:
        fix = f"stop the server and remove it from the folder {_ANSWERS} of Pensieve's home; only remembered answers go"
        return problem(f"{what}; {', '.join(answers)} is damaged", fix, *answers)
    if damaged or aside_bytes:
        wrong = f"{len(damaged)} damaged blocks, {format_size(aside_bytes)} set aside as damaged earlier"
        return problem(f"{what}; {wrong}", "`pensieve cache prune`; if it comes back, the disk is failing")
    return ok(what)


def _is_sound_block(path: Path) -> bool:
    from pensieve.engine.prompt_cache.disk.file import DamagedFileError, read_header  # noqa: PLC0415

    try:
        read_header(path)
    except DamagedFileError:
        return False
    except OSError:
        return not path.exists()  # a running server has just deleted it
    return True


def _is_sound_database(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)) as connection:
            found: str = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            return found == "ok"
    except sqlite3.OperationalError:  # locked by a server that writes
        return True
    except sqlite3.DatabaseError:
        return False
