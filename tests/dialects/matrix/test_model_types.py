"""Every model type answers as in mlx-lm: alone, in a batch, and in a second turn."""

from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from typing import Any

import pytest

from pensieve.models.files.home import HOME_VARIABLE
from tests.dialects.matrix.coverage import IN_MLX_LMS_CACHES, NOT_BUILT, NOTES, PARTS, SEEDS
from tests.dialects.matrix.model_types import EXTRA, TYPES, config_of
from tests.dialects.matrix.row import FIRST, TEXTS, MlxLmModel, compared, prompt_of, write_small_model
from tests.dialects.matrix.table import PATH, document
from tests.dialects.short_form import MODEL_TYPES


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, the memo of an earlier model with the same weights would be used."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))


@pytest.mark.parametrize("model_type", TYPES)
def test_its_answers_are_mlx_lms_and_the_table_is_right(model_type: str, tmp_path: Path) -> None:
    comparison = asyncio.run(compared(model_type, tmp_path / "model"))
    assert not comparison.difference or model_type in NOTES, comparison.difference
    assert comparison.is_in_rows == (model_type not in IN_MLX_LMS_CACHES)
    assert comparison.line in PATH.read_text(encoding="utf-8").splitlines()


def test_the_table_has_these_types_and_no_others() -> None:
    rows = _rows()
    assert list(rows) == TYPES
    assert PATH.read_text(encoding="utf-8") == document(rows.values())


def test_the_short_form_has_every_outcome_of_the_table() -> None:
    rows = _rows()
    outcomes = {model_type: row.split(" | ")[1:] for model_type, row in rows.items()}
    assert rows.keys() >= MODEL_TYPES
    assert all(outcome in [outcomes[model_type] for model_type in MODEL_TYPES] for outcome in outcomes.values())


def _rows() -> dict[str, str]:
    lines = PATH.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| model type")]
    return {row.split(" | ")[0].removeprefix("| "): row for row in rows}


def test_every_model_type_of_mlx_lm_is_in_the_matrix_or_left_out_with_a_reason() -> None:
    folder = Path(importlib.import_module("mlx_lm").__path__[0]) / "models"
    modules = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    assert modules - PARTS == EXTRA.keys() | NOT_BUILT.keys()
    assert not EXTRA.keys() & NOT_BUILT.keys()
    assert SEEDS.keys() <= EXTRA.keys()


@pytest.mark.parametrize("model_type", ["llama", "mamba2", "gemma3", "deepseek_v3"])
def test_the_answers_are_varied(model_type: str, tmp_path: Path) -> None:
    """Otherwise any engine would give them."""
    write_small_model(tmp_path, config_of(model_type), seed=SEEDS.get(model_type, 0))
    reference = MlxLmModel(tmp_path)
    answers = {tuple(reference.answer(prompt_of(text))) for text in (FIRST, *TEXTS)}
    assert len(answers) == 1 + len(TEXTS)
    assert all(len(set(answer)) >= 4 for answer in answers)


def test_mlx_lms_answer_of_plamo3_depends_on_the_prefill_chunk_size(tmp_path: Path) -> None:
    """The reason in the table's note."""
    write_small_model(tmp_path, config_of("plamo3"), seed=SEEDS.get("plamo3", 0))
    reference: Any = MlxLmModel(tmp_path)
    whole, chunks = (reference.answer(prompt_of(TEXTS[2]), prefill_step_size=size) for size in (2048, 16))
    assert whole != chunks
