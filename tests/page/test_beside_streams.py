"""The page beside eight running streams: what it shows, what goes wrong, and what it costs the server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psutil

from perf_gates.loads.servers import ServerProcess
from tests.page.conftest import watched
from tests.page.streams import running_streams

if TYPE_CHECKING:
    from playwright.sync_api import Page

NUM_STREAMS = 8
MAX_SHARE_OF_CORE = 0.05
_FIGURES = """
[...document.querySelectorAll("data[data-path]")].map(each => [each.dataset.path, each.value, each.textContent])
"""


def test_the_page_is_right_and_light(browser: Any, server: ServerProcess, page_seconds: int) -> None:
    process = psutil.Process(server.pid)
    with running_streams(server.url, NUM_STREAMS):
        without = _share_of_core(process, lambda: time.sleep(max(10, page_seconds / 4)))
        with watched(browser, server.url) as page:
            page.open()
            ends_at = time.monotonic() + page_seconds
            checks = 0

            def check() -> None:
                nonlocal checks
                while time.monotonic() < ends_at:
                    _compare(page.page, page.next_health())
                    checks += 1

            share = _share_of_core(process, check) - without
            assert page.problems == []
            assert all(url.startswith(page.url) for url in page.requested)
            num_polls = sum(url.endswith("/health") for url in page.requested)
    print(
        f"\n{page_seconds} s beside {NUM_STREAMS} streams: {num_polls} requests for figures, all {checks} compared; "
        f"they took {100 * share:.2f}% of a core, where the streams took {100 * without:.2f}%"
    )
    assert checks > 0
    assert num_polls <= page_seconds / 2 + 3
    assert share < MAX_SHARE_OF_CORE


def _share_of_core(process: psutil.Process, work: Any) -> float:
    """Of the time that `work` takes, the share that the process computes."""
    began, before = time.monotonic(), process.cpu_times()
    work()
    after = process.cpu_times()
    return float(after.user + after.system - before.user - before.system) / (time.monotonic() - began)


def _compare(page: Page, health: dict[str, Any]) -> None:
    """Every figure on the page is the one in /health."""
    shown = page.evaluate(_FIGURES)
    assert len(shown) > 15
    for path, value, text in shown:
        expected: Any = health
        for name in path.split("."):
            expected = expected[name]
        assert float(value) == expected, path
        assert any(digit in text for digit in "0123456789"), path
    progress = health["requests"]["progress"]
    assert len(progress) == NUM_STREAMS
    requests = page.locator("#request-list li .what").all_text_contents()
    assert requests == [
        f"{each['model']}: answering, {each['output_tokens']:,} of at most {each['max_output_tokens']:,} tokens"
        for each in progress
    ]
