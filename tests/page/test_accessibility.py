"""axe-core, from npm, finds nothing to object to, and the page stays usable with much to show, or with nothing."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from perf_gates.loads.servers import ServerProcess
from tests.page.conftest import watched
from tests.page.streams import running_streams
from tests.support.packages import NotInstalledError, node_modules_with
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Route

AXE = "axe-core@4.14.1"
HEALTH = re.compile(r"/health$")
LONG = "organisation-with-a-long-name/" + "A-Model-Whose-Name-Has-No-End-" * 5 + "4bit"
_RUN = "axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] })"


@pytest.fixture(scope="module")
def axe() -> str:
    try:
        modules = node_modules_with(Path(__file__).parent / ".installed", AXE)
    except NotInstalledError as error:
        pytest.skip(str(error))
    return (modules / "axe-core/axe.min.js").read_text(encoding="utf-8")


def changed(change: Callable[[dict[str, Any]], None]) -> Callable[[Route], None]:
    """The server's figures, as they would be if they were changed."""

    def answer(route: Route) -> None:
        health = route.fetch().json()
        change(health)
        route.fulfill(json=health)

    return answer


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 400)])
def test_axe_has_no_objection(browser: Any, server: ServerProcess, axe: str, scheme: str, width: int) -> None:
    size = {"width": width, "height": 900}
    with running_streams(server.url, 2), watched(browser, server.url, viewport=size, color_scheme=scheme) as watcher:
        watcher.open()
        page = watcher.page
        page.wait_for_selector("#memory-chart polyline", state="attached")
        page.fill("#chat-text", "Hello")
        page.press("#chat-text", "Enter")
        page.wait_for_selector("#chat-log .assistant .quiet:has-text('tokens/s')")
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true })")
        page.evaluate(axe)
        found = page.evaluate(_RUN)
    assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found["violations"]] == []
    assert len(found["passes"]) > 30


@pytest.mark.parametrize("width", [400, 1280])
def test_a_very_long_name_of_a_model_is_wrapped(browser: Any, server: ServerProcess, width: int) -> None:
    def rename(health: dict[str, Any]) -> None:
        for entry in (*health["models"], *health["requests"]["progress"]):
            entry["id" if "id" in entry else "model"] = LONG

    size = {"width": width, "height": 900}
    with running_streams(server.url, 1), watched(browser, server.url, viewport=size) as watcher:
        watcher.page.route(HEALTH, changed(rename))
        watcher.open()
        for place in ("#model-list .what", "#request-list .what"):
            assert LONG in str(watcher.page.text_content(place))
            box = watcher.page.locator(place).bounding_box()
            assert box is not None
            assert box["x"] + box["width"] <= width
        assert watcher.page.evaluate("document.documentElement.scrollWidth") <= width
        button = watcher.page.locator("#model-list button").bounding_box()
        assert button is not None
        assert button["x"] + button["width"] <= width


def test_without_models_the_page_says_so(browser: Any, server: ServerProcess) -> None:
    with watched(browser, server.url) as watcher:
        watcher.page.route(HEALTH, changed(lambda health: health.update(models=[])))
        watcher.page.goto(watcher.url)
        watcher.page.wait_for_selector("#no-models:visible:has-text('No model')")
        assert watcher.problems == []


def test_fifty_requests_scroll_in_their_own_list_with_the_keyboard(browser: Any, server: ServerProcess) -> None:
    def multiply(health: dict[str, Any]) -> None:
        health["requests"]["progress"] *= 50

    with running_streams(server.url, 1), watched(browser, server.url) as watcher:
        page = watcher.page
        page.route(HEALTH, changed(multiply))
        watcher.open()
        assert page.locator("#request-list li").count() == 50
        assert page.evaluate("document.querySelector('#request-list').clientHeight") < 500
        page.focus("#request-list")
        page.keyboard.press("End")
        wait_until(lambda: page.evaluate("document.querySelector('#request-list').scrollTop > 500"))
        page.unroute_all(behavior="ignoreErrors")
        wait_until(lambda: page.locator("#request-list li").count() == 1)
        assert page.evaluate("document.querySelector('#request-list').tabIndex") == -1


def test_a_server_that_is_gone_and_comes_back_is_noticed(browser: Any, server: ServerProcess) -> None:
    with watched(browser, server.url) as watcher:
        watcher.open()
        page = watcher.page
        page.context.set_offline(True)
        page.wait_for_selector("#status:has-text('not reachable since')")
        page.context.set_offline(False)
        page.wait_for_selector("#status:text-is('healthy')")
        assert httpx.get(f"{server.url}/health").json()["status"] == "healthy"
