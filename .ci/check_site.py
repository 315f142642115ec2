"""Checks the built site: no page may make a browser fetch anything from another server. Links to others are allowed."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path

FETCHED_LINKS = {"stylesheet", "preconnect", "preload", "prefetch", "dns-prefetch", "icon", "manifest", "modulepreload"}
ELSEWHERE = re.compile(r"^(https?:)?//")
STYLE_ADDRESS = re.compile(r"(?:url\(|@import)\s*[\"']?((?:https?:)?//[^\"')\s]+)")


class Page(HTMLParser):
    """The addresses that a browser fetches for a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and set((values.get("rel") or "").split()) & FETCHED_LINKS:
            self.fetched.append(values.get("href") or "")
        self.fetched += [values.get(name) or "" for name in ("src", "srcset", "data", "poster") if tag != "a"]


def main(folder: Path) -> int:
    pages = sorted(folder.rglob("*.html"))
    assert len(pages) > 30, f"expected the site in {folder}, found {len(pages)} pages"
    foreign = [f"{page}: {address}" for page in pages for address in fetched_by(page) if ELSEWHERE.match(address)]
    for style in chain(folder.rglob("*.css"), folder.rglob("*.svg")):
        foreign += [f"{style}: {address}" for address in STYLE_ADDRESS.findall(style.read_text(encoding="utf-8"))]
    print("\n".join(foreign) or f"{len(pages)} pages, none of which needs another server")
    return 1 if foreign else 0


def fetched_by(path: Path) -> list[str]:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page.fetched


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
