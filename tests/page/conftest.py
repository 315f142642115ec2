"""A server in a process of its own, and pages of it in headless Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from perf_gates.loads.servers import ServerProcess, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECONDS = 60
SCRIPT = """
[[reply]]
when = "slowly"
text = "word "
repeat = 8000
seconds_per_token = 0.1

[[reply]]
text = "<b>Hello</b> from the script."
"""
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--page-seconds", type=int, default=SECONDS, metavar="S", help=f"beside eight streams (default: {SECONDS})"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not os.environ.get("PENSIEVE_PAGE"):
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="only in tox -e page"))


@pytest.fixture
def page_seconds(request: pytest.FixtureRequest) -> int:
    """The option exists only where this folder is named on the command line."""
    return int(request.config.getoption("--page-seconds", SECONDS))


@contextmanager
def scripted(folder: Path, *arguments: str) -> Iterator[ServerProcess]:
    script = folder / "script.toml"
    script.write_text(SCRIPT, encoding="utf-8")
    with serving("--script", str(script), "--log-level", "info", *arguments) as server:
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with scripted(tmp_path_factory.mktemp("page")) as server:
        yield server


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # its sandbox needs rights that containers do not have; it opens this server's page alone
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page, with all that it requested and what went wrong in it."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        self.problems: list[str] = []
        self.requested: list[str] = []
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("requestfailed", lambda request: self.problems.append(f"{request.url} failed"))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda message: self._note(message.type, message.text))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.problems.append(f"{kind}: {text}")

    def open(self) -> None:
        self.page.goto(self.url)
        self.page.wait_for_selector("#model-list li")

    def next_health(self) -> dict[str, Any]:
        """The figures that the page reads next, once it shows them."""
        with self.page.expect_response("**/health") as response:
            pass
        health: dict[str, Any] = response.value.json()
        self.page.wait_for_selector(f'body[data-shown="{health["timestamp"]}"]', state="attached")
        return health


@contextmanager
def watched(browser: Browser, url: str, **context: Any) -> Iterator[Watched]:
    opened = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **context})
    try:
        yield Watched(opened.new_page(), f"{url}/")
    finally:
        for page in opened.pages:
            page.unroute_all(behavior="ignoreErrors")  # one may be answered just now
        opened.close()
