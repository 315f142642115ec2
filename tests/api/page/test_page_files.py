"""The page's files by themselves: what they load, and whether everything in them has a name."""

from __future__ import annotations

import itertools
import re
from html.parser import HTMLParser

import pytest

from pensieve.api.page.page_files import HEADERS, PAGE, read_page_files

FILES = read_page_files()
TEXTS = {name: file.content.decode() for name, file in FILES.items()}
CONTROLS = ("button", "input", "select", "textarea")
VOID = ("link", "meta", "input", "br", "hr")


class Elements(HTMLParser):
    """All elements with their attributes, the text in them and the labels around them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[int, str] = {}
        self.labelled: set[int] = set()
        self._open: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        number = len(self.found)
        self.found.append((tag, dict(attrs)))
        if any(self.found[outer][0] == "label" for outer in self._open):
            self.labelled.add(number)
        if tag not in VOID:
            self._open.append(number)

    def handle_endtag(self, tag: str) -> None:
        assert self.found[self._open[-1]][0] == tag, f"</{tag}> does not close the element that is open"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for number in self._open:
            self.texts[number] = self.texts.get(number, "") + data.strip()


@pytest.fixture(scope="module")
def page() -> Elements:
    elements = Elements()
    elements.feed(TEXTS[PAGE])
    return elements


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name, text in TEXTS.items():
        addresses = set(re.findall(r"""(?:https?:)?//[a-z][^\s"'`)]*""", text))
        assert not {each for each in addresses if each.startswith("http")} - {"http://www.w3.org/2000/svg"}, name
        assert "@import" not in text
        assert "url(" not in text


def test_all_that_the_page_loads_is_served(page: Elements) -> None:
    loaded = [attrs.get("src") or attrs.get("href") for tag, attrs in page.found if tag in ("script", "link", "img")]
    imported = [match for text in TEXTS.values() for match in re.findall(r'from "\./([^"]+)"', text)]
    assert set(loaded) == {"page/page.js", "page/page.css", "page/icon.svg"}
    assert {*imported, "page.js", "page.css", "icon.svg", PAGE} == set(FILES)


def test_the_policy_allows_only_this_servers_files(page: Elements) -> None:
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["content-security-policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) == {"'self'", "'none'"}
    for tag, attributes in page.found:
        assert "style" not in attributes, f"<{tag}> has a style, which the policy forbids"
        assert not [name for name in attributes if name.startswith("on")], f"<{tag}> has a script"
        assert tag != "style"
        assert tag != "script" or "src" in attributes


def test_text_of_a_model_is_never_read_as_html() -> None:
    for name, text in TEXTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", text), (
            name
        )


def test_every_control_has_a_name(page: Elements) -> None:
    labels = {attributes.get("for") for tag, attributes in page.found if tag == "label"}
    controls = [number for number, (tag, _) in enumerate(page.found) if tag in CONTROLS]
    assert len(controls) > 8
    for number in controls:
        tag, attributes = page.found[number]
        is_named = page.texts.get(number) if tag == "button" else attributes.get("id") in labels
        assert is_named or number in page.labelled, attributes


def test_every_region_has_a_name_that_exists(page: Elements) -> None:
    ids = [attributes["id"] for _, attributes in page.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.found:
        needs_name = (
            tag in ("section", "dialog") or attributes.get("role") in ("img", "log") or "tabindex" in attributes
        )
        assert not needs_name or "aria-label" in attributes or attributes.get("aria-labelledby") in ids, attributes


def test_the_page_has_a_language_a_title_and_headings_in_order(page: Elements) -> None:
    tags = [tag for tag, _ in page.found]
    assert page.found[tags.index("html")][1]["lang"] == "en"
    assert page.texts[tags.index("title")] == "Pensieve"
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))


def test_every_element_that_a_script_names_exists(page: Elements) -> None:
    ids = {attributes["id"] for _, attributes in page.found if "id" in attributes}
    named = {match for text in TEXTS.values() for match in re.findall(r'byId\("([^"]+)"\)', text)}
    assert named - ids == set()
