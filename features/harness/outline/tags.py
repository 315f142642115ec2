"""What a scenario's tags mean, and the choice of scenarios by them.

@MUST @SHOULD     the level of the rule
@id:some-slug     the scenario's name for good: results, target files and mutants refer to it
@cap:some-name    a capability of features/capabilities.toml that a server needs for it
@W10              a row of the specification
@slow             takes longer than ten seconds

A scenario has its own tags and those of its rule and its chapter.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import pytest

LEVELS = ("MUST", "SHOULD")
_SPEC_ROW = re.compile(r"[A-Z]\d+")
_MARKERS = (
    "MUST: the server does not conform without it",
    "SHOULD: a server that does otherwise needs a reason",
    "slow: takes longer than ten seconds",
    "scenario_id(slug): the scenario's name for good",
    "capability(name): what a server has to be able to do for it",
    "spec(row): the row of the specification that the scenario shows",
)


def register_markers(config: pytest.Config) -> None:
    for marker in _MARKERS:
        config.addinivalue_line("markers", marker)


def apply_tag(tag: str, function: Callable[..., object]) -> bool | None:
    """Turn a tag with a meaning of its own into its marker. None leaves the tag to pytest-bdd, as a plain marker."""
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
    """The id of a scenario of the suite; None for any other test."""
    marker = item.get_closest_marker("scenario_id")
    return str(marker.args[0]) if marker else None


def level_of(item: pytest.Item) -> str | None:
    return next((level for level in LEVELS if item.get_closest_marker(level)), None)


def capabilities_of(item: pytest.Item) -> frozenset[str]:
    return frozenset(str(marker.args[0]) for marker in item.iter_markers("capability"))


def spec_rows_of(item: pytest.Item) -> frozenset[str]:
    return frozenset(str(marker.args[0]) for marker in item.iter_markers("spec"))


def properties_of(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """What a report needs to tell which promise a result is about."""
    if slug := id_of(item):
        yield "id", slug
    if level := level_of(item):
        yield "level", level
    yield from (("capability", name) for name in sorted(capabilities_of(item)))
    yield from (("spec", row) for row in sorted(spec_rows_of(item)))


def chosen(
    items: Sequence[pytest.Item],
    *,
    ids: Sequence[str] = (),
    levels: Sequence[str] = (),
    capabilities: Sequence[str] = (),
    spec_rows: Sequence[str] = (),
) -> list[pytest.Item]:
    """The scenarios that have one of each kind that is asked for.

    Raises:
        pytest.UsageError: an id or a row that no scenario has; a run of nothing would pass for success.
    """
    _expect_known("id", ids, {id_of(item) for item in items})
    _expect_known("row of the specification", spec_rows, {row for item in items for row in spec_rows_of(item)})

    def fits(item: pytest.Item) -> bool:
        return (
            id_of(item) is not None
            and (not ids or id_of(item) in ids)
            and (not levels or level_of(item) in levels)
            and (not capabilities or not capabilities_of(item).isdisjoint(capabilities))
            and (not spec_rows or not spec_rows_of(item).isdisjoint(spec_rows))
        )

    return [item for item in items if fits(item)]


def _expect_known(what: str, asked: Sequence[str], known: set[str | None] | set[str]) -> None:
    if unknown := [name for name in asked if name not in known]:
        raise pytest.UsageError(f"no scenario has the {what} {', '.join(unknown)}")
