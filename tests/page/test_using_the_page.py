"""Using the page: the chat, loading and unloading, the key, small screens, the keyboard alone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from perf_gates.loads.servers import ServerProcess
from tests.page.conftest import scripted, watched
from tests.page.streams import num_active, running_streams
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Page

ANSWER = "<b>Hello</b> from the script."


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id || document.activeElement.tagName"))


def press_until(page: Page, key: str, reached: str) -> None:
    """Press a key until the element with that id or tag has the focus."""
    for _ in range(40):
        page.keyboard.press(key)
        if focused(page) == reached:
            return
    pytest.fail(f"{reached} cannot be reached by {key}")


def test_chat_with_the_keyboard_alone(browser: Any, server: ServerProcess) -> None:
    with watched(browser, server.url) as watcher:
        watcher.open()
        page = watcher.page
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # the link that skips to the chat
        assert focused(page) == "chat-text"
        page.keyboard.type("one line")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("and another")
        page.keyboard.press("Enter")
        page.wait_for_selector("#chat-log .assistant .quiet:has-text('tokens/s')")
        assert page.locator("#chat-log .user .text").text_content() == "one line\nand another"
        assert page.locator("#chat-log .assistant .text").text_content() == ANSWER
        assert page.locator("#chat-log b").count() == 0
        page.keyboard.type("again")
        page.keyboard.press("Enter")
        page.wait_for_selector("#chat-log li:nth-child(4) .quiet:has-text('tokens/s')")
        assert watcher.problems == []


def test_an_answer_is_stopped(browser: Any, server: ServerProcess) -> None:
    with watched(browser, server.url) as watcher:
        watcher.open()
        page = watcher.page
        page.fill("#chat-text", "slowly")
        page.click("#chat-send")
        page.wait_for_selector("#chat-log .assistant .text:has-text('word')")
        page.click("#chat-stop")
        page.wait_for_selector("#chat-log .problem:has-text('stopped')")
        wait_until(lambda: num_active(server.url) == 0)
        assert focused(page) == "chat-text"


def test_a_model_is_unloaded_and_loaded_with_the_keyboard(browser: Any, server: ServerProcess) -> None:
    with watched(browser, server.url) as watcher:
        watcher.open()
        page = watcher.page
        press_until(page, "Tab", "BUTTON")
        for state, action in (("unloaded", "Load"), ("loaded", "Unload")):
            page.keyboard.press("Enter")
            page.wait_for_selector(f"#model-list button:text-is('{action}')")
            assert page.locator("#model-list .what").text_content() == f"scripted: {state}"
            assert focused(page) == "BUTTON", "the button keeps the focus"
        assert watcher.problems == []


def test_a_model_in_use_is_not_unloaded_and_the_page_says_why(browser: Any, server: ServerProcess) -> None:
    with running_streams(server.url, 1), watched(browser, server.url) as watcher:
        watcher.open()
        watcher.page.click("#model-list button")
        notice = watcher.page.wait_for_selector("#notice:not([hidden])")
        assert notice is not None
        assert "scripted is in use" in str(notice.text_content())


def test_the_page_asks_for_the_key_and_keeps_it_in_the_tab(browser: Any, tmp_path: Path) -> None:
    with scripted(tmp_path, "--api-key", "secret") as server, watched(browser, server.url) as watcher:
        page = watcher.page
        page.goto(watcher.url)
        page.wait_for_selector("#key-dialog[open]")
        refused = "#key-dialog[open] #key-problem:has-text('does not know')"
        for key, expected in (("wrong", refused), ("secret", "#model-list li")):
            page.fill("#key-input", key)
            page.keyboard.press("Enter")
            page.wait_for_selector(expected)
        page.fill("#chat-text", "hello")
        page.press("#chat-text", "Enter")
        page.wait_for_selector("#chat-log .assistant .quiet:has-text('tokens/s')")
        page.reload()
        page.wait_for_selector("#model-list li")
        assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
        assert page.context.new_page().goto(watcher.url) is not None
        page.context.pages[-1].wait_for_selector("#key-dialog[open]")  # another tab has no key
        assert [problem for problem in watcher.problems if "failed" not in problem] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 400, 1280])
def test_nothing_is_cut_off_on_a_small_screen(browser: Any, server: ServerProcess, width: int, scheme: str) -> None:
    size = {"width": width, "height": 800}
    with watched(browser, server.url, viewport=size, color_scheme=scheme) as watcher:
        watcher.open()
        page = watcher.page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        background = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert (sum(map(int, background)) > 3 * 128) == (scheme == "light")
        for button in page.locator("main button:visible").all():
            box = button.bounding_box()
            assert box is not None
            assert box["height"] >= 40
            assert 0 <= box["x"] <= box["x"] + box["width"] <= width


def test_new_log_lines_are_shown(browser: Any, server: ServerProcess) -> None:
    with watched(browser, server.url) as watcher:
        watcher.open()
        watcher.page.click("#log-details summary")
        httpx.post(f"{server.url}/models/unload", json={"model": "unknown"})
        httpx.post(f"{server.url}/models/unload", json={"model": "scripted"})
        watcher.page.wait_for_selector("#log p:has-text('unloading scripted')")
        httpx.post(f"{server.url}/models/load", json={"model": "scripted"})
        assert watcher.problems == []
