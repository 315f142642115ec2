"""The meaning of a scenario's tags, and the selection of scenarios by tag.

@MUST @SHOULD     the level of the rule
@id:some-slug     the scenario's permanent name: results, target files and mutants refer to it
@cap:some-name    a capability from features/capabilities.toml that a server needs for it
@W10              a row of the specification
@slow             takes longer than ten seconds

A scenario inherits the tags of its rule and its chapter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

import pytest

LEVELS = ("MUST", "SHOULD")
_SPEC_ROW = re.compile(r"[A-Z]\d+")
_MARKERS = (
    "MUST: the server does not conform without it",
    "SHOULD: a server needs a reason to do otherwise",
    "slow: takes longer than ten seconds",
    "scenario_id(slug): the scenario's permanent name",
    "capability(name): what a server must be able to do for it",
    "spec(row): the row of the specification that the scenario covers",
)


def register_markers(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def apply_tag(tag: str, function: Callable[..., object]) -> bool | None:
    """Turn one of the suite's tags into its marker. None leaves the tag to pytest-bdd, as a plain marker."""
    if tag.startswith("id:"):
        pytest.mark.scenario_id(tag.removeprefix("id:"))(function)
    elif tag.startswith("cap:"):
        pytest.mark.capability(tag.removeprefix("cap:"))(function)
    elif _SPEC_ROW.fullmatch(tag):
        pytest.mark.spec(tag)(function)
    else:
        return None
    return True


def id_of(item: pytest.Item) -> str | None:
    """The id of one of the suite's scenarios; None for any other test."""
    marker = item.get_closest_marker("scenario_id")
    return str(marker.args[0]) if marker else None


def level_of(item: pytest.Item) -> str | None:
    return next((level for level in LEVELS if item.get_closest_marker(level)), None)


def capabilities_of(item: pytest.Item) -> frozenset[str]:
    return frozenset(str(marker.args[0]) for marker in item.iter_markers("capability"))


def spec_rows_of(item: pytest.Item) -> frozenset[str]:
    return frozenset(str(marker.args[0]) for marker in item.iter_markers("spec"))


def properties_of(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """What a JUnit report needs to identify the scenario of a result."""
    if slug := id_of(item):
        yield "id", slug
    if level := level_of(item):
        yield "level", level
    yield from (("capability", name) for name in sorted(capabilities_of(item)))
    yield from (("spec", row) for row in sorted(spec_rows_of(item)))


def selected(
    items: Sequence[pytest.Item],
    *,
    ids: Sequence[str] = (),
    levels: Sequence[str] = (),
    capabilities: Sequence[str] = (),
    spec_rows: Sequence[str] = (),
) -> list[pytest.Item]:
    """The scenarios that match one value of every kind that is given.

    Raises:
        pytest.UsageError: no scenario has this id or row.
    """
    expect_known("id", ids, {id_of(item) for item in items})
    expect_known("row of the specification", spec_rows, {row for item in items for row in spec_rows_of(item)})

    def fits(item: pytest.Item) -> bool:
        return (
            id_of(item) is not None
            and (not ids or id_of(item) in ids)
            and (not levels or level_of(item) in levels)
            and (not capabilities or not capabilities_of(item).isdisjoint(capabilities))
            and (not spec_rows or not spec_rows_of(item).isdisjoint(spec_rows))
        )

    return [item for item in items if fits(item)]


def expect_known(what: str, requested: Sequence[str], known: Collection[str | None]) -> None:
    """Refuse a name that no scenario has: an empty run would look like success."""
    if unknown := [name for name in requested if name not in known]:
        raise pytest.UsageError(f"no scenario has the {what} {', '.join(unknown)}")
