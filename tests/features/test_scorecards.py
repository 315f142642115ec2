"""The scorecards in the repository name existing targets and scenarios, and no local paths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from features.harness.target.target_file import TARGETS, known_ids, load_target
from tests.features.suite import ROOT

FOLDER = ROOT / "docs" / "scorecards"
CARDS = sorted(path for path in FOLDER.glob("*.md") if path.stem != "README")
_ID = re.compile(r"(?<!\\)`([a-z0-9-]+)`")
_LOCAL_PATH = re.compile(r"/(home|root|tmp|Users|private|var)/|[A-Z]:\\")
_LISTED_ONE_BY_ONE = "## What did not pass"


def test_the_scorecards_exist() -> None:
    assert {"mlx_lm_server", "pensieve_folder"} <= {card.stem for card in CARDS}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_every_scorecard_belongs_to_a_target_in_the_repository(card: Path) -> None:
    target = load_target(TARGETS / f"{card.stem}.toml")
    assert card.read_text(encoding="utf-8").startswith(f"# Scorecard: {target.name}\n")


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_every_id_on_a_scorecard_belongs_to_a_scenario(card: Path) -> None:
    text = card.read_text(encoding="utf-8")
    _, _, listed = text.partition(_LISTED_ONE_BY_ONE)
    assert set(_ID.findall(listed)) - known_ids() == set()


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_no_scorecard_contains_a_local_path(card: Path) -> None:
    assert not _LOCAL_PATH.search(card.read_text(encoding="utf-8"))


def test_the_readme_has_the_command_for_every_scorecard() -> None:
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [card.name for card in CARDS if f"docs/scorecards/{card.name}" not in readme] == []
