"""PDFs are read by processes that are stopped when they take too long, and when the client leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from pensieve.api.pdfs.extraction import Extract
from pensieve.api.pdfs.reading import LIMITS, MAX_PROCESSES, PdfLimits, PdfReading, pdf_extract
from tests.api.pdfs.examples import LONG_TEXT, pdf, running_readers, shown
from tests.support.waiting import wait_until

BLUE, RED, SLOW, LARGE = pdf(shown("Blue")), pdf(shown("Red")), pdf(LONG_TEXT), pdf(shown("a" * 70_000_000))


async def at_once(decode: Callable[[], list[Extract | None]]) -> list[Extract | None]:
    return decode()


async def extracts(reading: PdfReading, *pdfs: str) -> list[Extract | None]:
    return await reading.decoded(at_once, lambda: [pdf_extract(data) for data in pdfs])


def with_limits(limits: PdfLimits, *pdfs: str) -> list[Extract | None]:
    return asyncio.run(extracts(PdfReading(limits), *pdfs))


def test_all_pdfs_of_a_request_are_read_by_one_process() -> None:
    assert with_limits(LIMITS, BLUE, RED, BLUE) == [{"text": "Blue"}, {"text": "Red"}, {"text": "Blue"}]


@pytest.mark.parametrize(
    ("limits", "data", "reason"),
    [
        (replace(LIMITS, cpu_seconds=1), SLOW, "more than 1 seconds of computing"),
        (replace(LIMITS, memory_bytes=100_000_000), LARGE, "memory"),
    ],
    ids=["computing", "memory"],
)
def test_a_pdf_that_needs_more_than_a_limit_is_refused_and_those_before_it_are_read(
    limits: PdfLimits, data: str, reason: str
) -> None:
    blue, other = with_limits(limits, BLUE, data)
    assert blue == {"text": "Blue"}
    assert other is not None
    assert reason in other["message"]


def test_a_pdf_that_needs_more_time_than_the_limit_is_refused() -> None:
    (refused,) = with_limits(replace(LIMITS, wall_seconds=1), SLOW)
    assert refused is not None
    assert "within 1 seconds" in refused["message"]


def test_a_pdf_that_was_read_before_needs_no_process() -> None:
    async def twice() -> list[Extract | None]:
        reading = PdfReading()
        await extracts(reading, BLUE)
        with pytest.raises(StopIteration) as returned:  # it would have to wait for a process
            extracts(reading, BLUE).send(None)
        return list(returned.value.value)

    assert asyncio.run(twice()) == [{"text": "Blue"}]


def test_no_more_processes_than_allowed_run_and_they_end_with_their_requests() -> None:
    async def leave() -> int:
        reading = PdfReading()
        requests = [asyncio.create_task(extracts(reading, SLOW)) for _ in range(MAX_PROCESSES + 2)]
        await asyncio.to_thread(wait_until, lambda: len(running_readers()) >= MAX_PROCESSES)
        await asyncio.sleep(0.1)  # in which a third one would start
        num_running = len(running_readers())
        for task in requests:
            task.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
        return num_running

    assert asyncio.run(leave()) == MAX_PROCESSES
    assert running_readers() == []
