"""The form of the chapters: mistakes that pytest-bdd would ignore, and the conventions for rules and scenarios."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from gherkin.parser import Parser

from features.harness.outline.capabilities import registry
from features.harness.plugin import step_modules
from tests.features.suite import ROOT

CHAPTERS = sorted((ROOT / "features").rglob("*.feature"))
_LEVELS = {"@MUST", "@SHOULD"}
_SLUG = re.compile(r"@id:[a-z0-9]+(-[a-z0-9]+)*")
_SPEC_ROW = re.compile(r"@[A-Z]\d+")
_REFERS_TO_ANOTHER_TITLE = re.compile(r"(So|It|Its|They|Their|This|That|These|Then|Also|Likewise)\b")


@dataclass(frozen=True)
class ChapterScenario:
    """A scenario with its own tags and those that it inherits."""

    name: str
    tags: frozenset[str]
    examples: tuple[int, ...]
    is_outline: bool


def _children(chapter: Path) -> tuple[set[str], list[dict[str, object]]]:
    feature = Parser().parse(chapter.read_text())["feature"]
    assert feature is not None
    return {tag["name"] for tag in feature["tags"]}, [dict(child) for child in feature["children"]]


def _rules(chapter: Path) -> Iterator[dict[str, object]]:
    for child in _children(chapter)[1]:
        rule = child.get("rule")
        if isinstance(rule, dict):
            yield rule


@cache
def _scenarios(chapter: Path) -> tuple[ChapterScenario, ...]:
    return tuple(_read_scenarios(chapter))


def _read_scenarios(chapter: Path) -> Iterator[ChapterScenario]:
    inherited, _ = _children(chapter)
    for rule in _rules(chapter):
        of_rule = inherited | _tags(rule)
        children = rule["children"]
        assert isinstance(children, list)
        for scenario in (child["scenario"] for child in children if "scenario" in child):
            rows = tuple(len(table["tableBody"]) for table in scenario["examples"])
            outline = scenario["keyword"] == "Scenario Outline"
            yield ChapterScenario(scenario["name"], frozenset(of_rule | _tags(scenario)), rows, outline)


def _capabilities(scenario: ChapterScenario) -> frozenset[str]:
    return frozenset(tag.removeprefix("@cap:") for tag in scenario.tags if tag.startswith("@cap:"))


def _tags(node: dict[str, object]) -> set[str]:
    tags = node["tags"]
    assert isinstance(tags, list)
    return {tag["name"] for tag in tags}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_scenario_belongs_to_a_rule(chapter: Path) -> None:
    _, children = _children(chapter)
    assert [child["scenario"] for child in children if "scenario" in child] == []
    assert list(_rules(chapter))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_rule_names_its_source(chapter: Path) -> None:
    assert [rule["name"] for rule in _rules(chapter) if not str(rule["description"]).strip()] == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_scenario_has_an_id_a_level_and_a_row_of_the_specification(chapter: Path) -> None:
    for scenario in _scenarios(chapter):
        ids = [tag for tag in scenario.tags if tag.startswith("@id:")]
        assert len(ids) == 1, scenario.name
        assert _SLUG.fullmatch(ids[0]), ids
        assert len(scenario.tags & _LEVELS) == 1, scenario.name
        assert any(_SPEC_ROW.fullmatch(tag) for tag in scenario.tags), scenario.name


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_outlines_have_examples_and_other_scenarios_have_none(chapter: Path) -> None:
    for scenario in _scenarios(chapter):
        assert scenario.is_outline == bool(scenario.examples), scenario.name
        assert all(scenario.examples), f"{scenario.name} has a table without rows, so that nothing would run"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_no_two_scenarios_of_a_chapter_have_the_same_title(chapter: Path) -> None:
    """pytest-bdd silently keeps only the last of two scenarios with the same name."""
    names = Counter(scenario.name for scenario in _scenarios(chapter))
    assert [name for name, number in names.items() if number > 1] == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_title_makes_sense_on_its_own(chapter: Path) -> None:
    """A report shows a scenario's title without the rule above it: it must not refer to another title."""
    names = [scenario.name for scenario in _scenarios(chapter)]
    assert [name for name in names if _REFERS_TO_ANOTHER_TITLE.match(name)] == []


def test_no_two_scenarios_have_the_same_title() -> None:
    names = Counter(scenario.name for chapter in CHAPTERS for scenario in _scenarios(chapter))
    assert [name for name, number in names.items() if number > 1] == []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_scenario_needs_capabilities_from_the_registry(chapter: Path) -> None:
    for scenario in _scenarios(chapter):
        needed = _capabilities(scenario)
        assert needed, f"{scenario.name} has no @cap"
        assert needed <= registry().capabilities.keys(), scenario.name


def test_every_capability_has_a_scenario_that_counts_under_it() -> None:
    homes = {registry().home_of(_capabilities(scenario)) for chapter in CHAPTERS for scenario in _scenarios(chapter)}
    assert registry().capabilities.keys() - homes == set()


def test_a_capabilitys_scenarios_cover_its_rows_of_the_specification() -> None:
    for name, capability in registry().capabilities.items():
        scenarios = [
            scenario for chapter in CHAPTERS for scenario in _scenarios(chapter) if f"@cap:{name}" in scenario.tags
        ]
        rows = {tag.removeprefix("@") for scenario in scenarios for tag in scenario.tags}
        assert set(capability.spec) <= rows, name


def test_every_id_is_unique() -> None:
    tags = Counter(tag for chapter in CHAPTERS for scenario in _scenarios(chapter) for tag in scenario.tags)
    assert [tag for tag, number in tags.items() if tag.startswith("@id:") and number > 1] == []


def _chapter_folders() -> set[str]:
    return {chapter.parent.name for chapter in CHAPTERS}


def test_the_readme_lists_every_chapter() -> None:
    _, _, table = (ROOT / "features" / "README.md").read_text().partition("## Chapters\n")
    rows = re.findall(r"^\| `(\w+)/` \| (.+) \|$", table, re.MULTILINE)
    assert sorted(name for name, _ in rows) == sorted(_chapter_folders())
    assert all(about.strip() for _, about in rows)


def test_the_steps_of_every_chapter_are_found_by_name() -> None:
    """A module that defines steps under another name would be ignored, and its steps reported as missing."""
    found = {ROOT.joinpath(*name.split(".")).with_suffix(".py") for name in step_modules()}
    modules = {path for name in _chapter_folders() for path in (ROOT / "features" / name).glob("*.py")}
    assert found == {
        path for path in modules if "from pytest_bdd import" in path.read_text() and "@" in path.read_text()
    }
    assert {path.parent.name for path in found} == _chapter_folders()


def test_openais_refusals_come_last() -> None:
    """A server that breaks on an invalid request is judged on valid ones first: pytest-bdd sorts chapters by title."""
    titles = {_title(chapter): chapter.stem for chapter in CHAPTERS if chapter.parent.name == "openai"}
    assert titles[max(titles)] == "errors"


def _title(chapter: Path) -> str:
    feature = Parser().parse(chapter.read_text())["feature"]
    assert feature is not None
    return str(feature["name"])
