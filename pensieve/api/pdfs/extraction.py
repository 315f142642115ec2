"""Extracts the text of PDFs with pypdf; as a script, under limits that the operating system enforces.

The script takes a JSON list of PDFs in base64 and writes one line of JSON for each, as soon as it is read. It imports
nothing of Pensieve, so that it starts in a tenth of a second. The limits are there because a PDF of a few kilobytes can
keep pypdf busy for minutes, or fill the memory.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import os
import resource
import signal
import sys
from typing import TypedDict

PROTECTED = "protected"
UNREADABLE = "unreadable"

NICENESS = 10
"""Running answers go first."""


class Extract(TypedDict, total=False):
    """The text of a PDF; or why there is none: PROTECTED or UNREADABLE, and a sentence."""

    text: str
    refusal: str
    message: str


def extract(data: str, max_pages: int, max_characters: int) -> Extract:
    """The text of a PDF in base64."""
    import pypdf  # noqa: PLC0415 - takes 0.1 s, and few requests need it
    from pypdf.errors import DependencyError, FileNotDecryptedError, LimitReachedError, PyPdfError  # noqa: PLC0415

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # a damaged file may cause any number of lines
    try:
        return _text_of(pypdf.PdfReader(io.BytesIO(base64.b64decode(data))), max_pages, max_characters)
    except MemoryError:
        return _refused("needs too much memory: send its text")
    except FileNotDecryptedError:
        return _refused("send it without a password", PROTECTED)
    except (DependencyError, NotImplementedError):
        return _refused("it is compressed or encrypted by a method that this server does not support: send its text")
    except PyPdfError as error:
        if isinstance(error, LimitReachedError):
            message = "a page has more content than can be read: send its text"
        else:
            message = f"it is damaged or cut off ({type(error).__name__}): send the whole file, or its text"
        return _refused(message)
    except Exception as error:
        return _refused(f"cannot read this PDF ({type(error).__name__}): send its text")


def _text_of(reader: object, max_pages: int, max_characters: int) -> Extract:
    texts: list[str] = []
    num_characters = 0
    pages = reader.pages  # type: ignore[attr-defined]  # pypdf is imported where it is needed
    if len(pages) > max_pages:
        return _refused(f"has {len(pages)} pages, more than {max_pages}: send fewer pages")
    for page in pages:
        texts.append(page.extract_text())
        num_characters += len(texts[-1])
        if num_characters > max_characters:
            return _refused(f"has more than {max_characters} characters: send fewer pages")
    text = "\n\n".join(texts)
    if not text.strip():
        return _refused("it has no text, and this model cannot see the images of its pages")
    return {"text": text.encode(errors="replace").decode()}


def _refused(message: str, refusal: str = UNREADABLE) -> Extract:
    return {"refusal": refusal, "message": message}


def _limit(cpu_seconds: int, wall_seconds: int, memory_bytes: int) -> None:
    """The process dies by SIGXCPU or SIGALRM. macOS does not limit the memory of a process."""
    os.nice(NICENESS)
    signal.alarm(wall_seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def main() -> None:
    cpu_seconds, wall_seconds, memory_bytes, max_pages, max_characters = map(int, sys.argv[1:])
    _limit(cpu_seconds, wall_seconds, memory_bytes)
    for data in json.load(sys.stdin):
        sys.stdout.write(json.dumps(extract(data, max_pages, max_characters)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
