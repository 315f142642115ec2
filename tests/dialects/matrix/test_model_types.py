"""Every model type that can be built small answers as mlx-lm does: alone, with others, and in a second turn."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

from pensieve.models.files.home import HOME_VARIABLE
from tests.dialects.matrix.coverage import NOT_BUILT, NOTES, PARTS, SEEDS
from tests.dialects.matrix.model_types import EXTRA, TYPES, config_of
from tests.dialects.matrix.row import FIRST, TEXTS, Reference, judged, prompt_of, write_small_model
from tests.dialects.matrix.table import PLACE, written


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is remembered of an earlier model with the same weights."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


@pytest.mark.parametrize("model_type", TYPES)
def test_it_answers_as_mlx_lm_does_and_the_table_says_so(model_type: str, tmp_path: Path) -> None:
    found = asyncio.run(judged(model_type, tmp_path / "model"))
    assert not found.difference or model_type in NOTES, found.difference
    assert found.line in PLACE.read_text(encoding="utf-8").splitlines()


def test_the_table_has_these_types_and_no_others() -> None:
    document = PLACE.read_text(encoding="utf-8")
    rows = [line for line in document.splitlines() if line.startswith("| ") and not line.startswith("| model type")]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == TYPES
    assert document == written(rows)


def test_every_model_of_mlx_lm_is_in_the_matrix_or_left_out_for_a_reason() -> None:
    folder = Path(importlib.import_module("mlx_lm").__path__[0]) / "models"
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert modules - PARTS == EXTRA.keys() | NOT_BUILT.keys()
    assert not EXTRA.keys() & NOT_BUILT.keys()
    assert SEEDS.keys() <= EXTRA.keys()


@pytest.mark.parametrize("model_type", ["llama", "mamba2", "gemma3", "deepseek_v3"])
def test_the_answers_say_something(model_type: str, tmp_path: Path) -> None:
    """Else any engine would give them."""
    write_small_model(tmp_path, config_of(model_type), seed=SEEDS.get(model_type, 0))
    reference = Reference(tmp_path)
    answers = {tuple(reference.answer(prompt_of(text))) for text in (FIRST, *TEXTS)}
    assert len(answers) == 1 + len(TEXTS)
    assert all(len(set(answer)) >= 4 for answer in answers)


def test_what_mlx_lm_says_of_plamo3_depends_on_how_much_it_reads_at_once(tmp_path: Path) -> None:
    """The reason that the table gives for it."""
    write_small_model(tmp_path, config_of("plamo3"), seed=SEEDS.get("plamo3", 0))
    reference: Any = Reference(tmp_path)
    whole, chunks = (reference.answer(prompt_of(TEXTS[2]), prefill_step_size=size) for size in (2048, 16))
    assert whole != chunks
