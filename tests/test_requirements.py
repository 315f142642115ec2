"""Every requirement id in the repository is defined in docs/requirements.md or contracts/, and every one is covered.

It reads files and imports nothing of the product, so that it stays fast.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from contracts.streams.message_stream import STREAM_CLAUSES

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "requirements.md"
PLACES: Final = ("pensieve", "features", "contracts", "perf_gates", "docs", "tests")
SUFFIXES: Final = frozenset({".py", ".toml", ".feature", ".md"})

REQUIREMENT: Final = re.compile(r"(?<![\w-])(?:[CSUW][1-9]\d?\b|G-(?:\d\.\d|[PR]\d)(?=[a-z]?\b))")
CLAUSE: Final = re.compile(r"(?<![\w-])(?:IM|MM|MR|MS|PM|RH)-\d+\b")
CLAUSE_DEFINED: Final = re.compile(r'"((?:IM|MM|MR|MS|PM|RH)-\d+)"')
ROW: Final = re.compile(r"^\| ([A-Z][\w.-]*) \| (.+) \| (.+) \|$", re.MULTILINE)
NOT_BUILT: Final = "## Not built yet"

DATA_TYPE: Final = re.compile(r'"U(?:8|16|32|64)"')
"""Names of safetensors' data types, which look like ids."""

PRIVATE_NOTE: Final = re.compile(r"\((?:lab|traps|issue|design): |\b[Tt]he seed's\b")
"""References to notes that a reader of the repository does not have."""

INVENTED: Final = (Path("tests/contracts"), Path("tests/test_requirements.py"))
"""Tests of contracts and gates, which make up ids of their own."""


def _files() -> Iterator[Path]:
    yield from (path for path in ROOT.glob("*.md") if path.is_file())
    for place in PLACES:
        for path in (ROOT / place).rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(ROOT).parts)
            if path.suffix in SUFFIXES and not hidden and path != PAGE:
                yield path


def _is_invented(path: Path) -> bool:
    return any(path.relative_to(ROOT).is_relative_to(place) for place in INVENTED)


@pytest.fixture(scope="module")
def texts() -> Mapping[Path, str]:
    """The text of every file that may cite an id, by its path from the root."""
    found = {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in _files() if not _is_invented(path)}
    return {path: DATA_TYPE.sub("", text) for path, text in found.items()}


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def cited(texts: Mapping[Path, str]) -> Mapping[str, list[Path]]:
    """Where each requirement is cited. A figure of a gate, such as G-3.1a, cites the gate."""
    places: defaultdict[str, list[Path]] = defaultdict(list)
    for path, text in texts.items():
        for name in set(REQUIREMENT.findall(text)):
            places[name].append(path)
    return places


def test_every_requirement_that_is_cited_is_on_the_page(page: str, cited: Mapping[str, list[Path]]) -> None:
    defined = {name for name, _, _ in ROW.findall(page)}
    unknown = {name: [str(path) for path in paths] for name, paths in cited.items() if name not in defined}
    assert not unknown, f"not in docs/requirements.md: {unknown}"


def test_every_requirement_on_the_page_is_covered(page: str, cited: Mapping[str, list[Path]]) -> None:
    built = page.partition(NOT_BUILT)[0]
    uncovered = [
        name for name, _, _ in ROW.findall(built) if not any(path.suffix != ".md" for path in cited.get(name, ()))
    ]
    assert not uncovered, f"cited by no scenario, gate, code or test: {uncovered}"


def test_what_is_not_built_is_not_cited(page: str, cited: Mapping[str, list[Path]]) -> None:
    not_built = page.partition(NOT_BUILT)[2]
    cited_early = {name: [str(path) for path in cited[name]] for name, _, _ in ROW.findall(not_built) if name in cited}
    assert not cited_early, f"move these out of '{NOT_BUILT}': {cited_early}"


def test_the_page_defines_each_requirement_once_in_one_sentence_with_a_source(page: str) -> None:
    rows = ROW.findall(page)
    names = [name for name, _, _ in rows]
    assert len(names) == len(set(names))
    assert not [name for name, sentence, _ in rows if not sentence.endswith(".") or ". " in sentence]


def test_every_link_of_the_page_has_an_address(page: str) -> None:
    linked = set(re.findall(r"\]\[(\w+)\]", page))
    assert linked == set(re.findall(r"^\[(\w+)\]: \S+$", page, re.MULTILINE))


def test_every_clause_that_is_cited_is_defined_in_contracts(texts: Mapping[Path, str]) -> None:
    contracts = [text for path, text in texts.items() if path.parts[0] == "contracts"]
    defined = {name for text in contracts for name in CLAUSE_DEFINED.findall(text)}
    defined |= {clause.id for clause in STREAM_CLAUSES}
    unknown = {name: str(path) for path, text in texts.items() for name in CLAUSE.findall(text) if name not in defined}
    assert not unknown, f"not defined in contracts/: {unknown}"


def test_no_file_refers_to_notes_that_a_reader_does_not_have(texts: Mapping[Path, str]) -> None:
    found = {str(path): match[0] for path, text in texts.items() if (match := PRIVATE_NOTE.search(text))}
    assert not found, f"cite an id of docs/requirements.md instead: {found}"
