"""The last hour, as lines and as a table."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from perf_gates.loads.servers import ServerProcess
from tests.page.conftest import watched
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

HISTORY = re.compile(r"/history(\?|$)")
GB = 10**9
_SERIES = ("limit", "reserved", "measured", "speed", "running", "waiting")


def hour(without: range = range(0)) -> list[dict[str, Any]]:
    """360 samples up to now; those with the numbers `without` are missing."""
    begun = time.time() - 3600
    return [
        {
            "number": number,
            "time": begun + 10 * number,
            "reserved_bytes": 8 * GB,
            "measured_bytes": 6 * GB,
            "tokens_per_second": 60 if number > 180 else 0,
            "running": number % 3,
            "waiting": 0,
        }
        for number in range(1, 361)
        if number not in without
    ]


def answering(samples: Callable[[int], Sequence[dict[str, Any]]]) -> Callable[[Route], None]:
    """The server's answers to `/history`, with the samples after a number."""

    def answer(route: Route) -> None:
        after = int(route.request.url.partition("after=")[2] or 0)
        found = samples(after)
        last = samples(0)[-1]["number"]
        body = {"interval_seconds": 10, "max_samples": 360, "last_number": last, "samples": found}
        route.fulfill(json=body)

    return answer


def num_points(page: Page) -> list[int]:
    """Of each part of the line of reserved memory."""
    return [len(points.split()) for points in points_of(page, "reserved")]


def points_of(page: Page, name: str) -> list[str]:
    found: list[str] = page.locator(f".chart polyline.{name}").evaluate_all(
        "found => found.map(each => each.getAttribute('points'))"
    )
    return found


def lines(page: Page) -> dict[str, list[list[float]]]:
    """The horizontal ends of the lines of each series."""
    return {
        name: [[float(points.split()[at].split(",")[0]) for at in (0, -1)] for points in points_of(page, name)]
        for name in _SERIES
    }


def test_the_chart_has_the_figures_that_the_server_keeps(browser: Any, server: ServerProcess) -> None:
    with watched(browser, server.url) as watcher:
        watcher.open()
        page = watcher.page
        page.wait_for_selector("#memory-chart svg[aria-label*='last 5 minutes']")
        kept = httpx.get(f"{server.url}/history").json()["samples"]
        page.click("#history-details summary")
        assert page.locator("#history-rows tr").count() in (1, 2)
        assert page.locator("#history-rows tr").first.locator("td").count() == 5
        assert {len(found) for name, found in lines(page).items() if name != "limit"} == {1}
        assert kept[0]["number"] == 1
        assert watcher.problems == []


def test_a_page_opened_later_shows_the_past_hour_with_its_gap(browser: Any, server: ServerProcess) -> None:
    samples = hour(without=range(100, 121))
    with watched(browser, server.url, viewport={"width": 400, "height": 800}) as watcher:
        page = watcher.page
        page.route(HISTORY, answering(lambda after: [each for each in samples if each["number"] > after]))
        watcher.open()
        page.wait_for_selector("#memory-chart polyline", state="attached")
        assert page.get_attribute("#memory-chart svg", "aria-label") == (
            "Memory, last 60 minutes: limit 12 GB; reserved 8 GB now, from 8 GB to 8 GB; "
            "measured 6 GB now, from 6 GB to 6 GB"
        )
        assert "60 now, from 0 to 60" in str(page.get_attribute("#speed-chart svg", "aria-label"))
        found = lines(page)
        assert {name: len(each) for name, each in found.items()} == dict.fromkeys(_SERIES, 2)
        (first, end), (begin, last) = found["reserved"]
        assert 0 < first < end < begin < last <= 400
        labels = page.locator("#memory-chart text").all_text_contents()
        assert labels == ["0 B", "5 GB", "10 GB", "15 GB", "60 min ago", "30 min ago", "now"]
        page.click("#history-details summary")
        assert page.locator("#history-rows tr").count() in (12, 13)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert watcher.problems == []


def test_new_samples_are_added_and_a_new_run_of_the_server_too(browser: Any, server: ServerProcess) -> None:
    old = hour(without=range(350))
    new = [{**old[-1], "number": number, "time": old[-1]["time"] + 100 + 10 * number} for number in range(1, 4)]
    kept = [old[:5]]
    seen: list[int] = []

    def samples(after: int) -> list[dict[str, Any]]:
        seen.append(after)
        return [each for each in kept[-1] if each["number"] > after]

    with watched(browser, server.url) as watcher:
        page = watcher.page
        page.route(HISTORY, answering(samples))
        watcher.open()
        for more, expected in (([], [5]), (old, [11]), (new, [11, 3])):  # the new run begins with a gap
            kept += [more] if more else []
            wait_until(partial(_has_points, page, expected))
        assert {0, 354, 360} <= {*seen}
        assert watcher.problems == []


def _has_points(page: Page, expected: list[int]) -> bool:
    return num_points(page) == expected
