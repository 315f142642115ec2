"""The chapters themselves: what pytest-bdd would pass over in silence, and what the suite promises of each rule."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from gherkin.parser import Parser

from features.harness.outline.capabilities import registry
from tests.features.suite import ROOT

CHAPTERS = sorted((ROOT / "features").rglob("*.feature"))
_LEVELS = {"@MUST", "@SHOULD"}
_SLUG = re.compile(r"@id:[a-z0-9]+(-[a-z0-9]+)*")
_SPEC_ROW = re.compile(r"@[A-Z]\d+")
_REFERS_TO_ANOTHER_TITLE = re.compile(r"(So|It|Its|They|Their|This|That|These|Then|Also|Likewise)\b")


@dataclass(frozen=True)
class Found:
    """A scenario with the tags that it has itself and from above."""

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


def _scenarios(chapter: Path) -> Iterator[Found]:
    above, _ = _children(chapter)
    for rule in _rules(chapter):
        of_rule = above | _tags(rule)
        children = rule["children"]
        assert isinstance(children, list)
        for scenario in (child["scenario"] for child in children if "scenario" in child):
            rows = tuple(len(table["tableBody"]) for table in scenario["examples"])
            outline = scenario["keyword"] == "Scenario Outline"
            yield Found(scenario["name"], frozenset(of_rule | _tags(scenario)), rows, outline)


def _capabilities(scenario: Found) -> frozenset[str]:
    return frozenset(tag.removeprefix("@cap:") for tag in scenario.tags if tag.startswith("@cap:"))


def _tags(node: dict[str, object]) -> set[str]:
    tags = node["tags"]
    assert isinstance(tags, list)
    return {tag["name"] for tag in tags}


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_scenario_stands_under_a_rule(chapter: Path) -> None:
    _, children = _children(chapter)
    assert [child["scenario"] for child in children if "scenario" in child] == []
    assert list(_rules(chapter))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_every_rule_says_what_it_stands_on(chapter: Path) -> None:
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
def test_an_outline_has_examples_and_only_an_outline_has(chapter: Path) -> None:
    for scenario in _scenarios(chapter):
        assert scenario.is_outline == bool(scenario.examples), scenario.name
        assert all(scenario.examples), f"{scenario.name} has a table without rows: nothing would run"


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: chapter.stem)
def test_no_scenario_hides_another_of_its_name(chapter: Path) -> None:
    """pytest-bdd keeps the last of two scenarios with one name, and says nothing."""
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
def test_every_scenario_needs_capabilities_of_the_registry(chapter: Path) -> None:
    for scenario in _scenarios(chapter):
        needed = _capabilities(scenario)
        assert needed, f"{scenario.name} has no @cap"
        assert needed <= registry().capabilities.keys(), scenario.name


def test_every_capability_is_judged_by_a_scenario_of_its_own() -> None:
    homes = {registry().home_of(_capabilities(scenario)) for chapter in CHAPTERS for scenario in _scenarios(chapter)}
    assert registry().capabilities.keys() - homes == set()


def test_every_row_that_a_capability_stands_for_is_shown_by_its_scenarios() -> None:
    for name, capability in registry().capabilities.items():
        scenarios = [found for chapter in CHAPTERS for found in _scenarios(chapter) if f"@cap:{name}" in found.tags]
        rows = {tag.removeprefix("@") for scenario in scenarios for tag in scenario.tags}
        assert set(capability.spec) <= rows, name


def test_an_id_is_one_scenarios_alone() -> None:
    tags = Counter(tag for chapter in CHAPTERS for scenario in _scenarios(chapter) for tag in scenario.tags)
    assert [tag for tag, number in tags.items() if tag.startswith("@id:") and number > 1] == []
