"""The scorecards that are kept: they speak of targets and scenarios that there are, and of nobody's machine."""

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
_TOLD_ONE_BY_ONE = "## What did not pass"


def test_there_are_scorecards() -> None:
    assert {"mlx_lm_server", "pensieve_folder"} <= {card.stem for card in CARDS}


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_a_scorecard_is_of_a_target_of_ours(card: Path) -> None:
    target = load_target(TARGETS / f"{card.stem}.toml")
    assert card.read_text(encoding="utf-8").startswith(f"# Scorecard: {target.name}\n")


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_every_id_on_a_scorecard_is_one_of_the_suite(card: Path) -> None:
    text = card.read_text(encoding="utf-8")
    _, _, told = text.partition(_TOLD_ONE_BY_ONE)
    assert set(_ID.findall(told)) - known_ids() == set()


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.stem)
def test_a_scorecard_tells_of_nobodys_machine(card: Path) -> None:
    assert not _LOCAL_PATH.search(card.read_text(encoding="utf-8"))


def test_the_commands_that_made_the_scorecards_are_told() -> None:
    told = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [card.name for card in CARDS if f"docs/scorecards/{card.name}" not in told] == []
