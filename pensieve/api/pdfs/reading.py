"""Decodes a request while another process reads its PDFs."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import astuple, dataclass
from typing import Final, TypeVar

from pensieve.api.pdfs import extraction
from pensieve.api.pdfs.extraction import UNREADABLE, Extract
from pensieve.api.pdfs.memo import ExtractMemo
from pensieve.core.errors import OverloadedError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PdfLimits:
    """Time and memory are those of all PDFs of a request that were not read before; the rest is for each PDF.

    200 pages of dense text take 20 s of CPU at most. "PDF support" allows 600 pages in a request.
    """

    cpu_seconds: int = 30
    wall_seconds: int = 120
    memory_bytes: int = 1024**3
    max_pages: int = 1000
    max_characters: int = 5_000_000


LIMITS: Final = PdfLimits()
MAX_PROCESSES: Final = 2
"""The PDFs of more requests wait, and nothing else does."""

_lookup: ContextVar[Callable[[str], Extract | None]] = ContextVar("pdfs")


def pdf_extract(data: str) -> Extract | None:
    """What a PDF in base64 says. None while `PdfReading.decoded` still finds out which PDFs a request has.

    Outside of a request, the PDF is read at once.
    """
    lookup = _lookup.get(None)
    return lookup(data) if lookup else extraction.extract(data, LIMITS.max_pages, LIMITS.max_characters)


class PdfReading:
    """Reads the PDFs of requests in processes that end with the request, and remembers what they say."""

    def __init__(self, limits: PdfLimits = LIMITS) -> None:
        self._limits = limits
        self._slots = asyncio.Semaphore(MAX_PROCESSES)
        self._memo = ExtractMemo()

    async def decoded(
        self, run: Callable[[Callable[[], T]], Awaitable[T]], decode: Callable[[], T], namespace: str = ""
    ) -> T:
        """`decode()`, called by `run`: once, or again after the PDFs that it came across are read.

        Whatever else is wrong with the request is thereby refused before any PDF is read.
        """
        known: dict[str, Extract] = {}
        unread: dict[str, None] = {}

        def lookup(data: str) -> Extract | None:
            extract = known[data] if data in known else self._memo.get(data, namespace)
            if extract is None:
                unread[data] = None
            else:
                known[data] = extract
            return extract

        token = _lookup.set(lookup)
        try:
            result = await run(decode)
            if not unread:
                return result
            known.update(await self._read(list(unread), namespace))
            return await run(decode)
        finally:
            _lookup.reset(token)

    async def _read(self, pdfs: Sequence[str], namespace: str) -> Mapping[str, Extract]:
        async with self._slots:
            lines, status = await self._lines(await asyncio.to_thread(lambda: json.dumps(pdfs).encode()))
        return await asyncio.to_thread(self._extracts, pdfs, lines, status, namespace)

    def _extracts(
        self, pdfs: Sequence[str], lines: Sequence[bytes], status: int, namespace: str
    ) -> Mapping[str, Extract]:
        extracts: dict[str, Extract] = dict(zip(pdfs, map(json.loads, lines), strict=False))
        for data, extract in extracts.items():
            self._memo.add(data, extract, namespace)
        failed: Extract = {"refusal": UNREADABLE, "message": self._why_ended(status)}
        return {data: extracts.get(data, failed) for data in pdfs}

    async def _lines(self, pdfs: bytes) -> tuple[list[bytes], int]:
        """What the process wrote, a line for each PDF or fewer if it was stopped; and its exit status."""
        arguments = (sys.executable, "-P", extraction.__file__, *map(str, astuple(self._limits)))
        try:
            process = await asyncio.create_subprocess_exec(*arguments, stdin=PIPE, stdout=PIPE, stderr=DEVNULL)
        except OSError as error:
            raise OverloadedError(f"cannot read PDFs now: {error.strerror}; try again later") from error
        try:
            output, _ = await process.communicate(pdfs)
        finally:
            if process.returncode is None:  # the client left
                process.kill()
                await process.wait()
        return [line for line in output.splitlines(keepends=True) if line.endswith(b"\n")], process.returncode or 0

    def _why_ended(self, status: int) -> str:
        limits = self._limits
        reasons = {
            -signal.SIGXCPU: f"need more than {limits.cpu_seconds} seconds of computing to be read",
            -signal.SIGALRM: f"were not read within {limits.wall_seconds} seconds",
        }
        return f"the PDFs of this request {reasons.get(status, 'cannot be read')}: send their text, or fewer pages"
